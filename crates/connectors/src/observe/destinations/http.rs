//! What the HTTP destinations share: packing a body, sending it, and what a status means.

use crate::connector::Secret;
use crate::http_api::{self, USER_AGENT_TEXT};
use crate::observe::settings::Compression;
use crate::transport::{BaseUrl, Transport};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use std::io::Write;
use windlass_engine::remote::Attempt;
use windlass_engine::{Failure, Kind};

/// The level of zstd: the fastest one still packs a batch of spans eightfold.
const ZSTD_LEVEL: i32 = 1;

/// The place of one kind of request.
pub(super) struct Endpoint {
    transport: Transport,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
    secret: Secret,
}

impl Endpoint {
    /// # Errors
    /// When the path makes no URL.
    pub(super) fn new(
        transport: Transport,
        base: &BaseUrl,
        path: &str,
        compression: Compression,
        secret: Secret,
    ) -> Result<Self, http::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        match compression {
            Compression::None => None,
            Compression::Gzip => headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip")),
            Compression::Zstd => headers.insert(CONTENT_ENCODING, HeaderValue::from_static("zstd")),
        };
        Ok(Self { transport, uri: base.join(path)?, headers, compression, secret })
    }

    /// With one more header on every request.
    pub(super) fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With the credentials of HTTP's Basic scheme.
    pub(super) fn with_basic(self, user: &str, password: &str) -> Self {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let text = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let mut value =
            HeaderValue::try_from(text).expect("the alphabet of base64 is fit for a header");
        value.set_sensitive(true);
        self.with(AUTHORIZATION, value)
    }

    /// Posts a body. An answer of any status but 2xx is a failure.
    ///
    /// # Errors
    /// When there is no good answer.
    pub(super) async fn post(
        &self,
        content_type: &'static str,
        body: Vec<u8>,
        attempt: &Attempt,
    ) -> Result<Response<Bytes>, Failure> {
        let body = packed(self.compression, body)?;
        let mut request = Request::post(self.uri.clone())
            .body(body)
            .map_err(|error| Failure::new(Kind::Bug, error.to_string()))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let answer = self.transport.send(request).await;
        let response = answer.map_err(|error| http_api::unanswered(&error))?;
        let response = http_api::without_key(response, &self.secret, REQUEST_ID);
        http_api::learn(response.headers(), attempt, 0);
        if response.status().is_success() { Ok(response) } else { Err(refused(&response)) }
    }
}

/// The header with the remote's name for a request, where it sends one.
const REQUEST_ID: &str = "x-request-id";

fn packed(compression: Compression, body: Vec<u8>) -> Result<Bytes, Failure> {
    let packed = match compression {
        Compression::None => Ok(body),
        Compression::Gzip => {
            let level = flate2::Compression::fast();
            let mut out = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), level);
            out.write_all(&body).and_then(|()| out.finish())
        }
        Compression::Zstd => zstd::bulk::compress(&body, ZSTD_LEVEL),
    };
    let packed = packed.map_err(|error| Failure::new(Kind::Bug, format!("packing: {error}")))?;
    Ok(packed.into())
}

/// What a status that is no success means, as the specification of OTLP and the two vendors have
/// it: 429 asks for patience, 5xx and 408 will pass, 413 is about size, other 4xx about content.
fn refused(response: &Response<Bytes>) -> Failure {
    let kind = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => Kind::Throttled,
        StatusCode::UNAUTHORIZED => Kind::Denied,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Kind::Absent,
        StatusCode::REQUEST_TIMEOUT => Kind::Unavailable,
        status if status.is_server_error() => Kind::Unavailable,
        status if status.is_client_error() => Kind::Rejected,
        // A redirect is not followed: the URL is wrong, and a person has to say the right one.
        _ => Kind::Absent,
    };
    let words = http_api::readable(response.body()).map(|text| http_api::cut(&text));
    http_api::failure_of(response, kind, words, REQUEST_ID)
}
