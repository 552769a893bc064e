//! What a receiver of OTLP answers, in both encodings, and how such answers are read.

use super::request::Refused;
use super::wire::{Malformed, Reader, put_bytes, put_message, put_number};
use serde::{Deserialize, Serialize};

/// How a request was encoded; the answer is encoded in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// The value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// The codes of `google.rpc.Status` that we answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The data cannot be taken, now or ever.
    InvalidArgument = 3,
    /// Too much at once.
    ResourceExhausted = 8,
    /// Not now.
    Unavailable = 14,
    /// The key is missing or unknown.
    Unauthenticated = 16,
}

/// The answer to a request whose spans were all taken: the partial success stays unset.
#[must_use]
pub fn success(encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => Vec::new(),
        Encoding::Json => b"{}".to_vec(),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonAnswer<'a> {
    #[serde(borrow)]
    partial_success: Option<JsonPartial<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct JsonPartial<'a> {
    /// Protobuf writes numbers of 64 bits as strings; others may write a number.
    #[serde(borrow)]
    rejected_spans: TextOrNumber<'a>,
    #[serde(borrow)]
    error_message: std::borrow::Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TextOrNumber<'a> {
    Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
    Number(u64),
}

impl Default for TextOrNumber<'_> {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// The answer to a request of which some spans were refused: clients must not send it again.
#[must_use]
pub fn partial_success(encoding: Encoding, refused: &Refused) -> Vec<u8> {
    if refused.count == 0 {
        return success(encoding);
    }
    match encoding {
        Encoding::Protobuf => {
            let mut out = Vec::new();
            let _infallible = put_message::<std::convert::Infallible>(&mut out, 1, |out| {
                put_number(out, 1, refused.count);
                put_bytes(out, 2, refused.reason.as_bytes());
                Ok(())
            });
            out
        }
        Encoding::Json => to_json(&JsonAnswer {
            partial_success: Some(JsonPartial {
                rejected_spans: TextOrNumber::Text(refused.count.to_string().into()),
                error_message: refused.reason.as_str().into(),
            }),
        }),
    }
}

/// Reads the partial success of an answer: how many spans were refused, and why; also 0 spans with
/// a warning. `None` where there is neither, or where the body is something else altogether, as
/// some receivers answer.
#[must_use]
pub fn read_partial_success(encoding: Encoding, body: &[u8]) -> Option<Refused> {
    let refused = match encoding {
        Encoding::Protobuf => read_protobuf(body).ok()?,
        Encoding::Json => {
            let partial = serde_json::from_slice::<JsonAnswer<'_>>(body).ok()?.partial_success?;
            let count = match partial.rejected_spans {
                TextOrNumber::Text(text) => text.parse().ok()?,
                TextOrNumber::Number(count) => count,
            };
            Refused { count, reason: partial.error_message.into_owned() }
        }
    };
    (refused != Refused::default()).then_some(refused)
}

fn read_protobuf(body: &[u8]) -> Result<Refused, Malformed> {
    let mut refused = Refused::default();
    for field in Reader::new(body) {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        for field in Reader::new(field.value.bytes()?) {
            let field = field?;
            match field.number {
                1 => refused.count = field.value.varint()?,
                2 => field.value.text()?.clone_into(&mut refused.reason),
                _ => {}
            }
        }
    }
    Ok(refused)
}

#[derive(Serialize)]
struct JsonStatus<'a> {
    code: u8,
    message: &'a str,
}

/// A `google.rpc.Status`, the body of every refusal.
#[must_use]
pub fn status(encoding: Encoding, code: Code, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let mut out = Vec::with_capacity(message.len() + 8);
            put_number(&mut out, 1, code as u64);
            put_bytes(&mut out, 2, message.as_bytes());
            out
        }
        Encoding::Json => to_json(&JsonStatus { code: code as u8, message }),
    }
}

/// Structures of texts and numbers are always JSON.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
