//! The bulk calls: reading their bodies, refusing what is beyond their limits, writing results.

use std::borrow::Cow;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::base64;
use super::generate::push_number;
use super::keys::{check_key, check_value, expiry, metadata, push_json};
use super::replies::{self, Envelope, INFALLIBLE, Refusal};
use super::store::{Put, Store, View};

/// The most keys of a write or a deletion.
const MOST_CHANGES: usize = 10_000;
/// The most keys of a read.
const MOST_READS: usize = 100;

/// A key of a list of keys, without a copy where the body has it without escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// One pair of a write, as it is sent.
#[derive(Debug, Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(default)]
    base64: bool,
    expiration: Option<u64>,
    expiration_ttl: Option<u64>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// A read, as it is sent.
#[derive(Debug, Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    keys: Vec<Name<'a>>,
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default, rename = "withMetadata")]
    with_metadata: bool,
}

/// What a read takes values for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Text,
    Json,
}

fn broken(error: &serde_json::Error) -> Refusal {
    Refusal::invalid(format!("body: {error}"))
}

fn too_many(count: usize, most: usize) -> Result<(), Refusal> {
    if count > most {
        return Err(Refusal::invalid(format!("body: {count} items, {most} at most")));
    }
    Ok(())
}

/// How many items the body of a write or a deletion has, as far as it can be told.
pub(super) fn count(body: &[u8]) -> usize {
    serde_json::from_slice::<Vec<&RawValue>>(body).map_or(0, |items| items.len())
}

/// The keys of a deletion.
pub(super) fn keys(body: &[u8]) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let names: Vec<Name<'_>> = serde_json::from_slice(body).map_err(|error| broken(&error))?;
    too_many(names.len(), MOST_CHANGES)?;
    for (at, Name(key)) in names.iter().enumerate() {
        check_key(key, 400).map_err(|refusal| at_item(at, refusal))?;
    }
    Ok(names.into_iter().map(|name| name.0).collect())
}

fn at_item(at: usize, refusal: Refusal) -> Refusal {
    Refusal { message: format!("{at}.{}", refusal.message), ..refusal }
}

/// The pairs of a write. One that is wrong spoils all.
pub(super) fn puts(body: &[u8], now: u64) -> Result<Vec<(Cow<'_, str>, Put)>, Refusal> {
    let items: Vec<Item<'_>> = serde_json::from_slice(body).map_err(|error| broken(&error))?;
    too_many(items.len(), MOST_CHANGES)?;
    let pairs = items.into_iter().enumerate();
    pairs.map(|(at, item)| pair(item, now).map_err(|refusal| at_item(at, refusal))).collect()
}

fn pair(item: Item<'_>, now: u64) -> Result<(Cow<'_, str>, Put), Refusal> {
    check_key(&item.key, 400)?;
    let value = if item.base64 {
        let decoded = base64::decode(&item.value);
        decoded.ok_or_else(|| Refusal::invalid("value: expected base 64"))?.into()
    } else {
        item.value.as_bytes().into()
    };
    let put = Put {
        value,
        metadata: match item.metadata {
            Some(json) => metadata(json.get())?.map(Into::into),
            None => None,
        },
        expiration: expiry(item.expiration, item.expiration_ttl, now)?,
    };
    check_value(put.value.len())?;
    Ok((item.key, put))
}

/// What became of the keys of a write or a deletion.
#[derive(Debug, Default)]
pub(super) struct Changed<'a> {
    pub successful: usize,
    pub unsuccessful: Vec<Cow<'a, str>>,
    /// Whether anything is different now.
    pub effect: bool,
}

impl Changed<'_> {
    /// The result as it is sent, with this status if there are unsuccessful keys.
    pub(super) fn reply(&self, envelope: Envelope, bad_status: u16) -> Response<Bytes> {
        let mut out = Envelope::HEAD.as_bytes().to_vec();
        out.extend_from_slice(b"{\"successful_key_count\":");
        push_number(&mut out, self.successful as u64);
        out.extend_from_slice(b",\"unsuccessful_keys\":");
        serde_json::to_writer(&mut out, &self.unsuccessful).expect(INFALLIBLE);
        out.push(b'}');
        envelope.close(&mut out);
        out.push(b'}');
        let mut response = replies::json_bytes(out);
        if !self.unsuccessful.is_empty()
            && let Ok(status) = http::StatusCode::from_u16(bad_status)
        {
            *response.status_mut() = status;
        }
        response
    }
}

/// Answers a read, and tells how many keys it named.
pub(super) fn get(
    store: &Store,
    view: View,
    (body, most_bytes): (&[u8], usize),
    envelope: Envelope,
    now: u64,
) -> (usize, Result<Response<Bytes>, Refusal>) {
    let read: Read<'_> = match serde_json::from_slice(body) {
        Ok(read) => read,
        Err(error) => return (0, Err(broken(&error))),
    };
    (read.keys.len(), read.answer(store, view, (envelope, most_bytes), now))
}

impl Read<'_> {
    fn answer(
        &self,
        store: &Store,
        view: View,
        (envelope, most_bytes): (Envelope, usize),
        now: u64,
    ) -> Result<Response<Bytes>, Refusal> {
        too_many(self.keys.len(), MOST_READS)?;
        if self.keys.is_empty() {
            return Err(Refusal::invalid("keys: at least one"));
        }
        let mut out = Envelope::HEAD.as_bytes().to_vec();
        out.extend_from_slice(b"{\"values\":{");
        let (mut total, mut value) = (0, Vec::new());
        for (at, Name(key)) in self.keys.iter().enumerate() {
            check_key(key, 400).map_err(|refusal| at_item(at, refusal))?;
            if self.keys[..at].iter().any(|Name(before)| before == key) {
                continue;
            }
            if at > 0 {
                out.push(b',');
            }
            push_json(&mut out, key);
            out.push(b':');
            let Some(pair) = store.get(view, key, now) else {
                out.extend_from_slice(b"null");
                continue;
            };
            value.clear();
            store.push_value(&mut value, &pair);
            total += value.len();
            if total > most_bytes {
                return Err(Refusal::too_large(format!("values: more than {most_bytes} bytes")));
            }
            if self.with_metadata {
                out.extend_from_slice(b"{\"value\":");
            }
            self.push(&mut out, &value)?;
            if self.with_metadata {
                out.extend_from_slice(b",\"metadata\":");
                if !store.push_metadata(&mut out, &pair) {
                    out.extend_from_slice(b"null");
                }
                if let Some(expiration) = store.expiration(&pair) {
                    out.extend_from_slice(b",\"expiration\":");
                    push_number(&mut out, expiration);
                }
                out.push(b'}');
            }
        }
        out.extend_from_slice(b"}}");
        envelope.close(&mut out);
        out.push(b'}');
        Ok(replies::json_bytes(out))
    }

    /// Writes a value as text, with U+FFFD where it is no UTF-8, or as the JSON that it is.
    fn push(&self, out: &mut Vec<u8>, value: &[u8]) -> Result<(), Refusal> {
        if self.kind == Kind::Text {
            push_json(out, &String::from_utf8_lossy(value));
            return Ok(());
        }
        let wrong = |_| Refusal::invalid("keys: a value is not JSON");
        let json: &RawValue = serde_json::from_slice(value).map_err(wrong)?;
        out.extend_from_slice(json.get().as_bytes());
        Ok(())
    }
}
