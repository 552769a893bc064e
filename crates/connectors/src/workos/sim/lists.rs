//! Pages of a list: reading the query, finding the cursor, writing the envelope.

use bytes::Bytes;
use http::Response;

use super::generate::ulid_place;
use super::options::{Kind, Options, PageLimit, UnknownCursor};
use super::render::{Texts, id};
use super::replies::{invalid, json_text};
use super::store::{From, Place, Store};

const DEFAULT_LIMIT: usize = 10;
const MOST: usize = 100;

/// The parameters of a list that are looked at. All others, such as `search`, are ignored.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    limit: usize,
    ascending: bool,
    /// `order=normal`: newest first, but `after` goes to newer objects and `before` to older ones.
    crossed: bool,
    after: Option<String>,
    before: Option<String>,
}

/// The parameter that is refused, and why.
struct Invalid(&'static str, &'static str);

/// A page as it is sent, and the place of its last object when more objects follow.
pub(super) struct Listed {
    pub response: Response<Bytes>,
    pub cursor: Option<Place>,
}

impl Listed {
    fn refused(response: Response<Bytes>) -> Self {
        Self { response, cursor: None }
    }
}

pub(super) fn list(
    options: &Options,
    texts: &Texts,
    store: &Store,
    kind: Kind,
    query: &str,
) -> Listed {
    let query = match read(query, options.page_limit) {
        Ok(query) => query,
        Err(Invalid(field, why)) => return Listed::refused(invalid(field, why)),
    };
    let from = match from(&query, options.unknown_cursor, store, kind) {
        Ok(from) => from,
        Err(Invalid(field, why)) => return Listed::refused(invalid(field, why)),
    };
    let page = store.page(query.ascending, from, query.limit);
    let mut body = String::with_capacity(200 + 700 * page.places.len());
    body.push_str("{\"object\":\"list\",\"data\":[");
    for (index, &place) in page.places.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        if let Some(record) = store.get(place) {
            texts.push(&mut body, kind, place, record);
        }
    }
    let name = |more: bool, place: Option<&Place>| {
        let place = place.filter(|_| more)?;
        Some(id(kind, *place, store.get(*place)?))
    };
    let mut ends = (name(page.more.0, page.places.first()), name(page.more.1, page.places.last()));
    if query.crossed {
        ends = (ends.1, ends.0);
    }
    let quoted = |end: Option<String>| serde_json::json!(end).to_string();
    let (before, after) = (quoted(ends.0), quoted(ends.1));
    body.push_str("],\"list_metadata\":{\"before\":");
    body.push_str(&before);
    body.push_str(",\"after\":");
    body.push_str(&after);
    body.push_str("}}");
    let cursor = page.places.last().copied().filter(|_| page.more.1);
    Listed { response: json_text(body), cursor }
}

fn from(query: &Query, unknown: UnknownCursor, store: &Store, kind: Kind) -> Result<From, Invalid> {
    let (field, cursor) = match (&query.after, &query.before) {
        (Some(after), _) => ("after", after),
        (None, Some(before)) => ("before", before),
        (None, None) => return Ok(From::Start),
    };
    let digits = cursor.strip_prefix(kind.prefix()).and_then(ulid_place);
    let place = match (store.find(cursor, digits), unknown) {
        (Some(place), _) => place,
        (None, UnknownCursor::Restart) => return Ok(From::Start),
        (None, UnknownCursor::Position) if digits.is_some() => digits.unwrap_or_default(),
        (None, _) => return Err(Invalid(field, "is not a known cursor")),
    };
    let towards_end = (field == "after") != query.crossed;
    Ok(if towards_end { From::After(place) } else { From::Before(place) })
}

fn read(text: &str, page_limit: PageLimit) -> Result<Query, Invalid> {
    let mut query =
        Query { limit: DEFAULT_LIMIT, ascending: false, crossed: false, after: None, before: None };
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        match name {
            "limit" => query.limit = limit(&value, page_limit)?,
            "after" => query.after = Some(value),
            "before" => query.before = Some(value),
            "order" => match value.as_str() {
                "asc" => query.ascending = true,
                "desc" => query.ascending = false,
                "normal" => query.crossed = true,
                _ => return Err(Invalid("order", "must be asc, desc or normal")),
            },
            _ => {}
        }
    }
    Ok(query)
}

fn limit(text: &str, page_limit: PageLimit) -> Result<usize, Invalid> {
    let number = text.parse::<i64>().ok();
    let valid = number.and_then(|number| usize::try_from(number).ok());
    match (valid, page_limit) {
        (Some(limit @ 1..=MOST), _) => Ok(limit),
        (_, PageLimit::Refuse) => Err(Invalid("limit", "must be between 1 and 100")),
        (_, PageLimit::Clamp) => Ok(match number {
            None | Some(0) => DEFAULT_LIMIT,
            Some(number) if number < 0 => 1,
            Some(_) => MOST,
        }),
    }
}

/// Undoes percent-encoding; what is not well encoded stays as it is.
pub(super) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = 0;
    while rest < bytes.len() {
        let hex = (bytes[rest] == b'%').then(|| text.get(rest + 1..rest + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest += 3;
            }
            None => {
                decoded.push(bytes[rest]);
                rest += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
