//! Workers KV below a namespace: one page of a list, single values, metadata, and the bulk calls.

use super::refusal::Permission;
use super::{Api, Call, REQUEST_ID, Reply, query, segment};
use crate::cloudflare::listing::cursor_of;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use windlass_engine::remote::Attempt;
use windlass_engine::{Failure, Kind};

/// Which page of a namespace's keys.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery<'a> {
    /// What the names begin with; empty for all.
    pub prefix: &'a str,
    /// Where an earlier page said that the list goes on. The prefix must be the same then.
    pub cursor: Option<&'a str>,
    /// How many keys at most, from [`super::PAGE_KEYS_MIN`] to [`super::PAGE_KEYS`].
    pub limit: u32,
}

/// One page of a list as it came.
#[derive(Clone, Debug)]
pub struct KeyPage {
    /// The whole envelope. Only its end was looked at.
    pub body: Bytes,
    /// Where the list goes on; `None` at its end. Only this says so: a page may be short, or empty,
    /// in the middle of a list.
    pub cursor: Option<String>,
}

/// A single value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value itself.
    pub bytes: Bytes,
    /// When it expires, in seconds since 1970.
    pub expiration: Option<u64>,
}

/// When a value that is written shall expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// At this time, in seconds since 1970.
    At(u64),
    /// So many seconds after it was written.
    In(u64),
}

/// A value to be written, ready to be sent as often as it takes.
#[derive(Clone, Debug)]
pub struct Put {
    body: Bytes,
    content_type: HeaderValue,
    expiry: Expiry,
}

impl Put {
    /// A value with what goes with it. Writing replaces value, metadata and expiration together:
    /// what is not named here is gone afterwards.
    #[must_use]
    pub fn new(value: Bytes, metadata: Option<&RawValue>, expiry: Expiry) -> Self {
        let Some(metadata) = metadata else {
            let content_type = HeaderValue::from_static("application/octet-stream");
            return Self { body: value, content_type, expiry };
        };
        let boundary = boundary_for(&value, metadata.get().as_bytes());
        let mut body = Vec::with_capacity(value.len() + metadata.get().len() + 512);
        // Without a file name, some servers read the part as text and mend what is not UTF-8.
        part(&mut body, &boundary, "name=\"value\"; filename=\"value\"");
        body.extend_from_slice(b"Content-Type: application/octet-stream\r\n\r\n");
        body.extend_from_slice(&value);
        body.extend_from_slice(b"\r\n");
        part(&mut body, &boundary, "name=\"metadata\"");
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(metadata.get().as_bytes());
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let content_type =
            HeaderValue::try_from(content_type).expect("a boundary is letters and digits");
        Self { body: body.into(), content_type, expiry }
    }
}

fn part(body: &mut Vec<u8>, boundary: &str, names: &str) {
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; {names}\r\n");
    body.extend_from_slice(head.as_bytes());
}

/// A boundary that stands in neither part.
fn boundary_for(value: &[u8], metadata: &[u8]) -> String {
    let mut boundaries = (0_u64..).map(|number| format!("windlass{number:016x}"));
    let is_in = |part, boundary: &str| memmem::find(part, boundary.as_bytes()).is_some();
    boundaries
        .find(|boundary| !is_in(value, boundary) && !is_in(metadata, boundary))
        .expect("a finite value does not hold every number")
}

/// What became of the items of a bulk write or deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BulkReply {
    /// How many were carried out, where the answer counts them.
    #[serde(rename = "successful_key_count", default)]
    pub successful: Option<u64>,
    /// The names of those that were not and should be sent again.
    #[serde(rename = "unsuccessful_keys", default, deserialize_with = "names")]
    pub unsuccessful: Vec<String>,
}

impl BulkReply {
    /// Whether this tells of every one of so many items. A missing count means all of them, as in
    /// older schemas with an empty result, but only where no name is listed.
    #[must_use]
    pub fn accounts_for(&self, items: u64) -> bool {
        let listed = self.unsuccessful.len() as u64;
        match self.successful {
            Some(successful) => successful.checked_add(listed) == Some(items),
            None => listed == 0,
        }
    }
}

/// Names, where `null` means none.
fn names<'de, D: serde::Deserializer<'de>>(names: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(names)?.unwrap_or_default())
}

/// A value of a bulk read.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value, as text: a bulk read has nothing else.
    pub value: String,
    /// Its metadata.
    pub metadata: Option<Box<RawValue>>,
    /// When it expires, in seconds since 1970.
    pub expiration: Option<u64>,
}

impl Found {
    /// Whether the value may not be text at all: bytes that are not UTF-8 are likely shown as
    /// U+FFFD, and only a single read has them as they are.
    #[must_use]
    pub fn may_be_binary(&self) -> bool {
        self.value.contains('\u{fffd}')
    }
}

impl<'de> Deserialize<'de> for Found {
    /// Reads `{"value": ..., "metadata": ..., "expiration": ...}`, or the value alone, as servers
    /// answer that leave the wish for metadata unheard. Metadata stays as it is written.
    fn deserialize<D: serde::Deserializer<'de>>(found: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            value: String,
            #[serde(default)]
            metadata: Option<Box<RawValue>>,
            #[serde(default)]
            expiration: Option<u64>,
        }
        let raw = <&'de RawValue>::deserialize(found)?.get();
        let whole = if raw.starts_with('"') {
            let alone = |value| Whole { value, metadata: None, expiration: None };
            serde_json::from_str(raw).map(alone)
        } else {
            serde_json::from_str(raw)
        };
        let Whole { value, metadata, expiration } = whole.map_err(serde::de::Error::custom)?;
        Ok(Self { value, metadata, expiration })
    }
}

impl Api {
    /// Reads one page of a namespace's keys, in the order of their bytes.
    ///
    /// # Errors
    /// Everything but a page; the keys in it are not looked at yet.
    pub async fn list_keys(
        &self,
        namespace: &str,
        page: &ListQuery<'_>,
        attempt: Attempt,
    ) -> Result<Reply<KeyPage>, Failure> {
        let mut path = self.namespace_path(namespace)?;
        path.push_str("/keys");
        query(&mut path, "limit", &page.limit.to_string());
        if !page.prefix.is_empty() {
            query(&mut path, "prefix", page.prefix);
        }
        if let Some(cursor) = page.cursor {
            query(&mut path, "cursor", cursor);
        }
        let call = Call::new(Method::GET, path, Permission::KvRead);
        let response = self.send(&call, &attempt).await?;
        let cursor =
            cursor_of(response.body()).map_err(|error| self.malformed(&response, &error))?;
        let reply = Reply::of((), &response, REQUEST_ID);
        Ok(reply.map(|()| KeyPage { body: response.into_body(), cursor }))
    }

    /// Reads one value, whatever bytes it has.
    ///
    /// # Errors
    /// [`Kind::Absent`] where there is none, and everything else but a value.
    pub async fn get_value(
        &self,
        namespace: &str,
        key: &str,
        attempt: Attempt,
    ) -> Result<Reply<Value>, Failure> {
        let path = self.key_path(namespace, "values", key)?;
        let response =
            self.send(&Call::new(Method::GET, path, Permission::KvRead), &attempt).await?;
        let expiration = response.headers().get("expiration");
        let expiration = expiration.and_then(|text| text.to_str().ok()?.trim().parse().ok());
        let reply = Reply::of((), &response, REQUEST_ID);
        Ok(reply.map(|()| Value { bytes: response.into_body(), expiration }))
    }

    /// Writes one value with its metadata and expiration.
    ///
    /// # Errors
    /// Everything but success.
    pub async fn put_value(
        &self,
        namespace: &str,
        key: &str,
        put: &Put,
        attempt: Attempt,
    ) -> Result<Reply<()>, Failure> {
        let mut path = self.key_path(namespace, "values", key)?;
        match put.expiry {
            Expiry::Never => {}
            Expiry::At(time) => query(&mut path, "expiration", &time.to_string()),
            Expiry::In(seconds) => query(&mut path, "expiration_ttl", &seconds.to_string()),
        }
        let mut call = Call::new(Method::PUT, path, Permission::KvWrite);
        call.body = Some((put.content_type.clone(), put.body.clone()));
        self.tell(call, &attempt).await
    }

    /// Reads the metadata of one key; `None` where it has none. A list has it as well.
    ///
    /// # Errors
    /// [`Kind::Absent`] where there is no such key, and everything else but metadata.
    pub async fn metadata(
        &self,
        namespace: &str,
        key: &str,
        attempt: Attempt,
    ) -> Result<Reply<Option<Box<RawValue>>>, Failure> {
        let path = self.key_path(namespace, "metadata", key)?;
        self.ask(Call::new(Method::GET, path, Permission::KvRead), &attempt).await
    }

    /// Reads up to [`super::GET_KEYS_MAX`] values with their metadata and expiration. A key whose
    /// value is `None` is not there; one that is missing was not answered.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] where the values have over 25 MB together, and everything else but
    /// values.
    pub async fn bulk_get(
        &self,
        namespace: &str,
        keys: &[&str],
        attempt: Attempt,
    ) -> Result<Reply<HashMap<String, Option<Found>>>, Failure> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wanted<'a> {
            keys: &'a [&'a str],
            with_metadata: bool,
        }
        #[derive(Deserialize)]
        struct Values {
            values: HashMap<String, Option<Found>>,
        }
        let mut path = self.namespace_path(namespace)?;
        path.push_str("/bulk/get");
        let wanted = serde_json::to_vec(&Wanted { keys, with_metadata: true })
            .map_err(|error| Failure::new(Kind::Bug, format!("names are no JSON: {error}")))?;
        let call = Call::new(Method::POST, path, Permission::KvRead)
            .json(wanted.into())
            .items(count(keys.len()));
        Ok(self.ask::<Values>(call, &attempt).await?.map(|result| result.values))
    }

    /// Writes the pairs of `body`, a JSON array of `items` objects of at most
    /// 100 MB.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] where fewer may do, and everything else but an account of the pairs.
    pub async fn bulk_put(
        &self,
        namespace: &str,
        body: Bytes,
        items: u32,
        attempt: Attempt,
    ) -> Result<Reply<BulkReply>, Failure> {
        self.bulk(Method::PUT, namespace, "/bulk", body, items, &attempt).await
    }

    /// Deletes the names of `body`, a JSON array of `items` strings. Names that are not there are
    /// successes.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] where fewer may do, and everything else but an account of the names.
    pub async fn bulk_delete(
        &self,
        namespace: &str,
        body: Bytes,
        items: u32,
        attempt: Attempt,
    ) -> Result<Reply<BulkReply>, Failure> {
        self.bulk(Method::POST, namespace, "/bulk/delete", body, items, &attempt).await
    }

    async fn bulk(
        &self,
        method: Method,
        namespace: &str,
        below: &str,
        body: Bytes,
        items: u32,
        attempt: &Attempt,
    ) -> Result<Reply<BulkReply>, Failure> {
        let mut path = self.namespace_path(namespace)?;
        path.push_str(below);
        let call = Call::new(method, path, Permission::KvWrite).json(body).items(items);
        let response = self.exchange(&call, attempt).await?;
        if let Some(partly) = partly_refused(&response) {
            return Ok(Reply::of(partly, &response, REQUEST_ID));
        }
        if !response.status().is_success() {
            return Err(self.refused(response, &call));
        }
        let result = self.envelope(&response, &call)?.result;
        let value = bulk_result(result).map_err(|error| self.malformed(&response, &error))?;
        Ok(Reply::of(value, &response, REQUEST_ID))
    }

    fn key_path(&self, namespace: &str, below: &str, key: &str) -> Result<String, Failure> {
        let mut path = self.namespace_path(namespace)?;
        path.push('/');
        path.push_str(below);
        path.push('/');
        segment(&mut path, "key", key)?;
        Ok(path)
    }
}

/// The result of a bulk call; older schemas leave it empty.
fn bulk_result(result: Option<&RawValue>) -> serde_json::Result<BulkReply> {
    let object = result.map(RawValue::get).filter(|text| text.starts_with('{'));
    object.map_or_else(|| Ok(BulkReply::default()), serde_json::from_str)
}

/// The schema allows an answer that lists names not carried out under a status of 4xx as well.
/// That the whole request was refused is said by other statuses, or without such a list.
fn partly_refused(response: &Response<Bytes>) -> Option<BulkReply> {
    let status = response.status();
    let of_the_whole = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if !status.is_client_error() || of_the_whole.contains(&status) {
        return None;
    }
    let envelope: super::Envelope<'_> = serde_json::from_slice(response.body()).ok()?;
    let reply = bulk_result(envelope.result).ok()?;
    (!reply.unsuccessful.is_empty()).then_some(reply)
}

/// A number of items for the gate, which counts in 32 bits.
fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
