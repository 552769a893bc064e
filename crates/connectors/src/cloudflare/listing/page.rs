//! One page of a list: where it says that the list goes on, and the keys in it.

use crate::cloudflare::api::{KeyPage, Reply};
use bytes::Bytes;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use windlass_engine::remote::Answer;
use windlass_engine::{Failure, Kind};

/// A key as a list has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// When it expires, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
    /// Its metadata as it is written; `null` is none.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a RawValue>,
}

/// One page, not looked at but for its cursor.
#[derive(Debug)]
pub struct RawPage {
    /// Of which chain it is, by its place among them.
    pub shard: usize,
    /// Its number in its chain, from 1.
    pub number: u64,
    /// The whole answer.
    pub body: Bytes,
    /// Where the chain goes on; `None` on its last page.
    pub cursor: Option<String>,
    /// From the sending of the last attempt to its answer.
    pub latency: Duration,
    /// Cloudflare's name for the request.
    pub request_id: Option<Box<str>>,
    /// Which walk through the chain: a lost cursor makes it begin anew.
    pub(super) walk: u32,
    pub(super) order: Arc<Order>,
    /// The names up to this one were seen on earlier pages; known once the keys were read.
    pub(super) beyond: OnceLock<Option<Box<str>>>,
}

/// How far the keys of a chain were read.
#[derive(Debug)]
pub(super) struct Order {
    prefix: String,
    state: Mutex<OrderState>,
}

#[derive(Debug)]
struct OrderState {
    walk: u32,
    /// The last name of this walk.
    edge: Option<Box<str>>,
    /// The last name of all walks, or the one that the listing was told to begin after.
    seen: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Page<'a> {
    success: bool,
    #[serde(borrow, default)]
    result: Option<Vec<Key<'a>>>,
}

impl RawPage {
    /// A page that was asked for by itself.
    #[must_use]
    pub fn single(prefix: &str, answer: Answer<Reply<KeyPage>>) -> Self {
        let KeyPage { body, cursor } = answer.value.value;
        Self {
            shard: 0,
            number: 1,
            body,
            cursor,
            latency: answer.latency,
            request_id: answer.value.request_id,
            walk: 0,
            order: Arc::new(Order::new(prefix.to_owned(), None)),
            beyond: OnceLock::new(),
        }
    }

    /// The keys in it, in the order of their names, without those that were seen before where the
    /// walk had to begin anew. The pages of one chain must be read in their order.
    ///
    /// # Errors
    /// [`Kind::Malformed`] when it is no page of keys, when names do not ascend by their bytes
    /// from page to page, or do not begin with the prefix that was asked for.
    pub fn keys(&self) -> Result<Vec<Key<'_>>, Failure> {
        let malformed = |what: String| {
            let mut failure = Failure::new(Kind::Malformed, what);
            failure.request_id = self.request_id.clone();
            failure
        };
        // Text that is known to be UTF-8 is parsed at nearly twice the speed of bytes.
        let text = std::str::from_utf8(&self.body)
            .map_err(|error| malformed(format!("a page of keys is not UTF-8: {error}")))?;
        let page: Page<'_> = serde_json::from_str(text)
            .map_err(|error| malformed(format!("a page of keys is not understood: {error}")))?;
        if !page.success {
            return Err(malformed("a page of keys says of itself that it failed".into()));
        }
        let mut keys = page.result.unwrap_or_default();
        let odd = keys.iter().zip(keys.iter().skip(1)).find(|(one, next)| one.name >= next.name);
        if let Some((one, next)) = odd {
            return Err(malformed(self.disorder(&one.name, &next.name)));
        }
        if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
            let beyond = match self.beyond.get() {
                Some(beyond) => beyond,
                None => {
                    let beyond = self.order.enter(self, &first.name, &last.name);
                    let beyond = beyond.map_err(malformed)?;
                    self.beyond.get_or_init(|| beyond)
                }
            };
            if let Some(beyond) = beyond {
                let known = keys.partition_point(|key| *key.name <= **beyond);
                keys.drain(..known);
            }
        }
        Ok(keys)
    }

    fn disorder(&self, one: &str, next: &str) -> String {
        circle(&format!("`{one}` is followed by `{next}`"), self.number)
    }
}

/// The words for a list that does not end.
pub(super) fn circle(what: &str, page: u64) -> String {
    format!("the list goes round in circles: {what} (page {page})")
}

impl Order {
    pub(super) fn new(prefix: String, after: Option<&str>) -> Self {
        let state = OrderState { walk: 0, edge: None, seen: after.map(Into::into) };
        Self { prefix, state: Mutex::new(state) }
    }

    /// Enters the names of a page, and says up to which name they are known already.
    fn enter(&self, page: &RawPage, first: &str, last: &str) -> Result<Option<Box<str>>, String> {
        // The names between two that have the same beginning have it as well.
        if let Some(odd) = [first, last].into_iter().find(|name| !name.starts_with(&self.prefix)) {
            let prefix = &self.prefix;
            return Err(format!("the list of what begins with `{prefix}` holds `{odd}`"));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let edge = state.edge.as_deref().filter(|_| state.walk == page.walk);
        if let Some(edge) = edge.filter(|edge| *edge >= first) {
            return Err(page.disorder(edge, first));
        }
        state.walk = page.walk;
        state.edge = Some(last.into());
        let beyond = state.seen.clone();
        if beyond.as_deref().is_none_or(|seen| seen < last) {
            state.seen = Some(last.into());
        }
        Ok(beyond.filter(|beyond| **beyond >= *first))
    }
}

/// What the end of a page says of the list.
#[derive(Debug, Default, Deserialize)]
struct Info {
    #[serde(default)]
    cursor: Option<String>,
}

const INFO: &[u8] = b"\"result_info\":";

/// Where the list goes on; `None` at its end.
///
/// # Errors
/// When the body is not the JSON of an envelope.
pub(in crate::cloudflare) fn cursor_of(body: &[u8]) -> serde_json::Result<Option<String>> {
    let info = match info_at_the_end(body) {
        Some(info) => info,
        None => info_anywhere(body)?,
    };
    Ok(info.cursor.filter(|cursor| !cursor.is_empty()))
}

/// The `result_info` of a body that ends with it, without a look at the thousand keys before.
///
/// In valid JSON, these bytes with no backslash before them are the name of a member: the second
/// quote has a letter before it and so ends a string, which the first one then began, since a
/// quote inside a string has a backslash before it. Metadata can have such a member, too. But
/// where the object that is its value, one closing brace and white space end the body, that brace
/// closes the object that the member is in, and nothing is left that could stand around that
/// object: it is the envelope.
fn info_at_the_end(body: &[u8]) -> Option<Info> {
    let at = memmem::rfind(body, INFO)?;
    if at.checked_sub(1).and_then(|before| body.get(before)) == Some(&b'\\') {
        return None;
    }
    let value = body.get(at + INFO.len()..)?;
    if !value.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<Info>();
    let info = values.next()?.ok()?;
    let rest = value.get(values.byte_offset()..)?;
    (rest.trim_ascii() == b"}").then_some(info)
}

/// The same wherever it stands.
fn info_anywhere(body: &[u8]) -> serde_json::Result<Info> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        result_info: Option<Info>,
    }
    let envelope: Envelope = serde_json::from_slice(body)?;
    Ok(envelope.result_info.unwrap_or_default())
}
