//! Which request is which: paths, queries and their encodings.

/// A path of the API. Identifiers are not looked at yet, keys are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Verify,
    Accounts,
    Zones,
    Zone(&'a str),
    Purge { zone: &'a str, environment: Option<&'a str>, invalidate: bool },
    Account { account: &'a str, rest: KvRoute<'a> },
}

/// A path of Workers KV below an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KvRoute<'a> {
    Namespaces,
    Namespace(&'a str),
    Keys(&'a str),
    Value(&'a str, Option<String>),
    Metadata(&'a str, Option<String>),
    Bulk(&'a str),
    BulkDelete(&'a str),
    BulkGet(&'a str),
}

impl<'a> KvRoute<'a> {
    /// The id of the namespace that it is below, or is.
    pub(super) fn namespace(&self) -> Option<&'a str> {
        match *self {
            Self::Namespaces => None,
            Self::Namespace(id)
            | Self::Keys(id)
            | Self::Value(id, _)
            | Self::Metadata(id, _)
            | Self::Bulk(id)
            | Self::BulkDelete(id)
            | Self::BulkGet(id) => Some(id),
        }
    }
}

/// The route of a path, if it is one.
pub(super) fn read(path: &str) -> Option<Route<'_>> {
    let mut parts = [""; 10];
    let mut length = 0;
    for part in path.strip_prefix("/client/v4/")?.split('/') {
        *parts.get_mut(length)? = part;
        length += 1;
    }
    Some(match &parts[..length] {
        ["user", "tokens", "verify"] => Route::Verify,
        ["accounts"] => Route::Accounts,
        ["zones"] => Route::Zones,
        ["zones", zone] => Route::Zone(zone),
        ["zones", zone, verb] => {
            Route::Purge { zone, environment: None, invalidate: is_invalidation(verb)? }
        }
        ["zones", zone, "environments", environment, verb] => {
            let environment = Some(*environment);
            Route::Purge { zone, environment, invalidate: is_invalidation(verb)? }
        }
        ["accounts", account, "storage", "kv", "namespaces", rest @ ..] => {
            Route::Account { account, rest: kv(rest)? }
        }
        _ => return None,
    })
}

fn kv<'a>(parts: &[&'a str]) -> Option<KvRoute<'a>> {
    Some(match parts {
        [] => KvRoute::Namespaces,
        [namespace] if !namespace.is_empty() => KvRoute::Namespace(namespace),
        [namespace, "keys"] => KvRoute::Keys(namespace),
        [namespace, "values", key] => KvRoute::Value(namespace, decode(key)),
        [namespace, "metadata", key] => KvRoute::Metadata(namespace, decode(key)),
        [namespace, "bulk"] => KvRoute::Bulk(namespace),
        [namespace, "bulk", "delete"] => KvRoute::BulkDelete(namespace),
        [namespace, "bulk", "get"] => KvRoute::BulkGet(namespace),
        _ => return None,
    })
}

fn is_invalidation(verb: &str) -> Option<bool> {
    match verb {
        "purge_cache" => Some(false),
        "invalidate_cache" => Some(true),
        _ => None,
    }
}

/// Whether a text has the form of an identifier: 32 hexadecimal digits, lower case.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The parameters of a query in form encoding: `+` is a space. One that is no UTF-8 is `None`.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, Option<String>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name, if value.contains('+') { decode(&value.replace('+', " ")) } else { decode(value) })
    })
}

/// Undoes percent-encoding; `None` when the result is no UTF-8. What is not well encoded stays.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = 0;
    while rest < bytes.len() {
        let hex = (bytes[rest] == b'%').then(|| text.get(rest + 1..rest + 3)).flatten();
        let hex = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
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
    String::from_utf8(decoded).ok()
}
