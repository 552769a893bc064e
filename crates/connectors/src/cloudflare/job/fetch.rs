//! Values of many keys: 100 a request, and one by one where a bulk answer can't carry them.
//!
//! A bulk answer is text. What is not valid text comes back with replacement characters, so a
//! value that has one is asked for again by itself, which gives its bytes as they are.

use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::listing::Key;
use crate::cloudflare::records::Record;
use std::time::Duration;
use windlass_engine::job::Context;
use windlass_engine::{Failure, Kind};

/// What a fetch brought.
#[derive(Debug)]
pub struct Fetched {
    /// One for each key in its order; `None` where the key is gone.
    pub records: Vec<Option<Record>>,
    /// From the sending of the last attempt to its answer.
    pub latency: Duration,
    /// Attempts that were sent.
    pub attempts: u32,
    /// The remote's name for the last bulk request.
    pub request_id: Option<Box<str>>,
}

/// Reads the values of keys.
///
/// # Errors
/// As every call; a bulk answer above 25 MB is refused as too large.
pub async fn fetch(
    access: &Access,
    context: &Context,
    namespace: &str,
    keys: &[Key<'_>],
    one_by_one: bool,
) -> Result<Fetched, Failure> {
    let mut fetched = Fetched {
        records: Vec::with_capacity(keys.len()),
        latency: Duration::ZERO,
        attempts: 0,
        request_id: None,
    };
    let mut found = match one_by_one {
        true => Found::default(),
        false => match bulk(access, context, namespace, keys, &mut fetched).await {
            // One value alone may be larger than any bulk answer.
            Err(failure) if failure.kind == Kind::TooLarge && keys.len() == 1 => Found::default(),
            found => found?,
        },
    };
    for key in keys {
        let text = found.remove(&*key.name).flatten();
        let record = match text {
            Some(text) if !text.may_be_binary() => Some(Record {
                key: key.name.to_string(),
                value: text.value.into_bytes(),
                expiration: text.expiration.or(key.expiration),
                expiration_ttl: None,
                metadata: text.metadata.or_else(|| key.metadata.map(ToOwned::to_owned)),
            }),
            text => {
                // A single read tells no metadata.
                let known = text.and_then(|text| text.metadata);
                let record = single(access, context, namespace, key, &mut fetched).await?;
                record.map(|record| Record { metadata: known.or(record.metadata), ..record })
            }
        };
        fetched.records.push(record);
    }
    Ok(fetched)
}

type Found = std::collections::HashMap<String, Option<crate::cloudflare::api::Found>>;

async fn bulk(
    access: &Access,
    context: &Context,
    namespace: &str,
    keys: &[Key<'_>],
    fetched: &mut Fetched,
) -> Result<Found, Failure> {
    let names: Vec<&str> = keys.iter().map(|key| &*key.name).collect();
    let items = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let answer = access
        .remote
        .call_with(context, operation::BULK_GET, items, false, |attempt| {
            access.api.bulk_get(namespace, &names, attempt)
        })
        .await?;
    fetched.latency = answer.latency;
    fetched.attempts += answer.attempts;
    fetched.request_id = answer.value.request_id;
    Ok(answer.value.value)
}

async fn single(
    access: &Access,
    context: &Context,
    namespace: &str,
    key: &Key<'_>,
    fetched: &mut Fetched,
) -> Result<Option<Record>, Failure> {
    let ask = |attempt| access.api.get_value(namespace, &key.name, attempt);
    let answer = match access.remote.call(context, operation::GET_VALUE, false, ask).await {
        Ok(answer) => answer,
        Err(failure) if failure.kind == Kind::Absent => {
            fetched.attempts += failure.attempts;
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    fetched.latency = answer.latency;
    fetched.attempts += answer.attempts;
    let value = answer.value.value;
    Ok(Some(Record {
        key: key.name.to_string(),
        value: value.bytes.to_vec(),
        expiration: value.expiration.or(key.expiration),
        expiration_ttl: None,
        metadata: key.metadata.map(ToOwned::to_owned),
    }))
}
