//! Pages of keys, and single values with their metadata.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use serde_json::Value;

use super::cursor::{Cursor, List};
use super::generate::push_number;
use super::options::LastCursor;
use super::replies::{self, Envelope, INFALLIBLE, Refusal};
use super::routes::parameters;
use super::store::{Pair, Put, Store, View};

const LEAST: usize = 10;
const MOST: usize = 1_000;
const EMPTY_IN_A_ROW: u8 = 3;

const MOST_KEY: usize = 512;
const MOST_METADATA: usize = 1_024;
const MOST_VALUE: usize = 25 << 20;
/// The shortest life of a key, in seconds.
const LEAST_LIFE: u64 = 60;

/// The parameters of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub limit: usize,
    pub prefix: String,
    pub cursor: String,
}

impl Query {
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let mut query = Self { limit: MOST, prefix: String::new(), cursor: String::new() };
        for (name, value) in parameters(text) {
            let value = value.ok_or_else(|| Refusal::invalid(format!("{name}: not UTF-8")))?;
            match name {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (LEAST..=MOST).contains(limit));
                    query.limit = limit.ok_or_else(|| {
                        Refusal::invalid(format!("limit: expected a number from {LEAST} to {MOST}"))
                    })?;
                }
                "prefix" => query.prefix = value,
                "cursor" => query.cursor = value,
                _ => {}
            }
        }
        Ok(query)
    }
}

/// What chance makes of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whim {
    pub is_empty: bool,
    /// The page is shorter than its limit, by this share of it.
    pub shorter: Option<f64>,
    pub nonce: u64,
}

/// How pages look.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageForm {
    pub envelope: Envelope,
    pub last_cursor: LastCursor,
}

/// One page of keys.
pub(super) fn page(
    store: &Store,
    query: &Query,
    list: List<'_>,
    (form, whim): (PageForm, Whim),
    now: u64,
) -> Result<Response<Bytes>, Refusal> {
    let unknown = || Refusal::invalid("cursor: not a cursor of this list");
    let from = match query.cursor.as_str() {
        "" => None,
        text => Some(list.read(text).ok_or_else(unknown)?),
    };
    let empty_pages = from.as_ref().map_or(0, |from| from.empty_pages);
    let after = from.map(|from| from.after);
    let mut walk = store.walk(View::Seen, &query.prefix, after.as_deref(), now);
    let is_empty = whim.is_empty && empty_pages < EMPTY_IN_A_ROW;
    let most = match whim.shorter {
        _ if is_empty => 0,
        Some(share) => 1 + (share * (query.limit - 1) as f64) as usize,
        None => query.limit,
    };
    let mut out = Vec::with_capacity(512 + 180 * most);
    out.extend_from_slice(Envelope::HEAD.as_bytes());
    out.push(b'[');
    let (mut count, mut last) = (0, None);
    for pair in walk.by_ref().take(most) {
        push_listed(&mut out, store, &pair, count > 0);
        (count, last) = (count + 1, Some(pair));
    }
    out.push(b']');
    form.envelope.close(&mut out);
    out.extend_from_slice(b",\"result_info\":{\"count\":");
    push_number(&mut out, count);
    let next = walk.next().map(|_| Cursor {
        after: last.map_or_else(|| after.unwrap_or_default(), |last| store.name(&last)),
        empty_pages: if count == 0 { empty_pages + 1 } else { 0 },
    });
    match (next, form.last_cursor) {
        (Some(next), _) => {
            out.extend_from_slice(b",\"cursor\":\"");
            out.extend_from_slice(list.write(&next, whim.nonce).as_bytes());
            out.push(b'"');
        }
        (None, LastCursor::Empty) => out.extend_from_slice(b",\"cursor\":\"\""),
        (None, LastCursor::Null) => out.extend_from_slice(b",\"cursor\":null"),
        (None, LastCursor::Missing) => {}
    }
    out.extend_from_slice(b"}}");
    Ok(replies::json_bytes(out))
}

fn push_listed(out: &mut Vec<u8>, store: &Store, pair: &Pair<'_>, follows: bool) {
    out.extend_from_slice(if follows { b",{\"name\":" } else { b"{\"name\":" });
    push_name(out, store, pair);
    if let Some(expiration) = store.expiration(pair) {
        out.extend_from_slice(b",\"expiration\":");
        push_number(out, expiration);
    }
    let before = out.len();
    out.extend_from_slice(b",\"metadata\":");
    if !store.push_metadata(out, pair) {
        out.truncate(before);
    }
    out.push(b'}');
}

/// Writes a name as JSON, with its quotes.
pub(super) fn push_name(out: &mut Vec<u8>, store: &Store, pair: &Pair<'_>) {
    match pair {
        Pair::Generated(index) => {
            out.push(b'"');
            store.generated().push_json_name(out, *index);
            out.push(b'"');
        }
        Pair::Put(key, _) => push_json(out, key),
    }
}

/// Writes a text as JSON, with its quotes.
pub(super) fn push_json(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect(INFALLIBLE);
}

/// Refuses a name that no key can have.
pub(super) fn check_key(key: &str, status_of_long: u16) -> Result<(), Refusal> {
    if key.len() > MOST_KEY {
        let message = format!("key: {} bytes, {MOST_KEY} at most", key.len());
        return Err(Refusal::new(status_of_long, 10_001, message));
    }
    if matches!(key, "" | "." | "..") {
        return Err(Refusal::invalid(format!("key: `{key}` can't be one")));
    }
    Ok(())
}

/// The instant of expiry in seconds since 1970: a life wins over an instant.
pub(super) fn expiry(
    expiration: Option<u64>,
    life: Option<u64>,
    now: u64,
) -> Result<Option<u64>, Refusal> {
    match (life, expiration) {
        (Some(life), _) if life < LEAST_LIFE => {
            Err(Refusal::invalid(format!("expiration_ttl: {life} is below {LEAST_LIFE}")))
        }
        (Some(life), _) => Ok(Some(now.saturating_add(life))),
        (None, Some(at)) if at < now + LEAST_LIFE => {
            Err(Refusal::invalid(format!("expiration: {at} is not {LEAST_LIFE} seconds ahead")))
        }
        (None, at) => Ok(at),
    }
}

/// Metadata as it is kept: without white space, and nothing for null.
pub(super) fn metadata(json: &str) -> Result<Option<String>, Refusal> {
    let kept = without_space(json);
    if kept.len() > MOST_METADATA {
        let message = format!("metadata: {} bytes, {MOST_METADATA} at most", kept.len());
        return Err(Refusal::too_large(message));
    }
    Ok(Some(kept).filter(|kept| kept != "null"))
}

/// Drops the white space between the tokens of JSON, and keeps the order of fields.
fn without_space(json: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    json.chars()
        .filter(|&letter| {
            let is_quote = letter == '"' && !is_escaped;
            is_escaped = in_string && letter == '\\' && !is_escaped;
            in_string ^= is_quote;
            in_string || !letter.is_ascii_whitespace()
        })
        .collect()
}

/// Refuses a value that is too long.
pub(super) fn check_value(length: usize) -> Result<(), Refusal> {
    if length > MOST_VALUE {
        return Err(Refusal::too_large(format!("value: {length} bytes, {MOST_VALUE} at most")));
    }
    Ok(())
}

/// What a single write is to write.
pub(super) fn put(request: &Request<Bytes>, now: u64) -> Result<Put, Refusal> {
    let (mut expiration, mut life) = (None, None);
    for (name, value) in parameters(request.uri().query().unwrap_or("")) {
        let number = || {
            let number = value.as_deref().and_then(|value| value.parse().ok());
            number.ok_or_else(|| Refusal::invalid(format!("{name}: expected a number")))
        };
        match name {
            "expiration" => expiration = Some(number()?),
            "expiration_ttl" => life = Some(number()?),
            _ => {}
        }
    }
    let expiration = expiry(expiration, life, now)?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let body = request.body();
    let (value, json) = match kind.and_then(boundary) {
        Some(boundary) => form(body, boundary)
            .ok_or_else(|| Refusal::invalid("the form has no part `value`, or is broken"))?,
        None => (&body[..], None),
    };
    check_value(value.len())?;
    let metadata = match json {
        None => None,
        Some(json) => {
            let wrong = |_| Refusal::invalid("metadata: expected JSON");
            serde_json::from_slice::<Value>(json).map_err(wrong)?;
            metadata(std::str::from_utf8(json).unwrap_or("null"))?
        }
    };
    Ok(Put { value: value.into(), metadata: metadata.map(Into::into), expiration })
}

/// The boundary of a multipart form, if the type is one.
fn boundary(kind: &str) -> Option<&str> {
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"'))
}

/// The parts `value` and `metadata` of a multipart form.
fn form<'a>(body: &'a [u8], boundary: &str) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..])?;
    let (mut value, mut metadata) = (None, None);
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = position(part, delimiter.as_bytes())?;
        let head_end = position(&part[..end], b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..head_end]).to_ascii_lowercase();
        let content = &part[head_end + 4..end];
        if head.contains("name=\"value\"") || head.contains("name=value") {
            value = Some(content);
        } else if head.contains("name=\"metadata\"") || head.contains("name=metadata") {
            metadata = Some(content);
        }
        rest = &part[end + delimiter.len()..];
    }
    rest.starts_with(b"--").then_some((value?, metadata))
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
