//! What is purged: URLs, tags, hosts and prefixes in the form that the API takes, the zones that
//! they are in, and how much a plan allows.

#[cfg(test)]
mod tests;

use super::api::Zone;
use super::records::csv_fields;
use super::selection::check_tag;
use crate::connector::OpenError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest file of items that is read: 64 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How many slashes a prefix may have.
const PREFIX_SLASHES_MAX: usize = 31;
/// The headers that pick among the variants of a cached file.
const VARIANT_HEADERS: [&str; 4] = ["CF-IPCountry", "CF-Device-Type", "Accept-Language", "Origin"];

/// The body that purges everything in a zone.
pub const EVERYTHING: &[u8] = br#"{"purge_everything":true}"#;

/// What items are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// URLs, each perhaps with the headers of a variant.
    Files,
    /// Cache tags.
    Tags,
    /// Host names.
    Hosts,
    /// Hosts with the beginning of a path.
    Prefixes,
}

/// One thing to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What people call it; two of the same name are the same.
    pub name: String,
    /// As it stands in the body of a request.
    pub json: String,
    /// The host that it is at; tags have none.
    pub host: Option<String>,
}

/// Cloudflare's plans, which say how much may be purged. The limits are those of all zones of an
/// account that are on the same plan, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// The free plan.
    Free,
    /// Pro.
    Pro,
    /// Business.
    Business,
    /// Enterprise.
    Enterprise,
}

/// How much a plan allows: a bucket of requests that fills again, and URLs a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PurgeLimits {
    /// Requests for tags, hosts, prefixes or everything that a full bucket holds.
    pub bucket: u32,
    /// How many of them come back a second.
    pub refill_per_second: f64,
    /// Tags, hosts or prefixes in one request.
    pub items_per_call: u32,
    /// URLs a second.
    pub urls_per_second: u32,
    /// URLs in one request.
    pub urls_per_call: u32,
}

impl Plan {
    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Pro, Self::Business, Self::Enterprise];

    /// Its name in flags and settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Enterprise => "enterprise",
        }
    }

    /// How much it allows, as Cloudflare's page on purge limits has it.
    #[must_use]
    pub const fn limits(self) -> PurgeLimits {
        let (bucket, refill_per_second, urls_per_second, urls_per_call) = match self {
            // Five a minute.
            Self::Free => (25, 5.0 / 60.0, 800, 100),
            Self::Pro => (25, 5.0, 1_500, 100),
            Self::Business => (50, 10.0, 1_500, 100),
            Self::Enterprise => (500, 50.0, 3_000, 500),
        };
        PurgeLimits {
            bucket,
            refill_per_second,
            items_per_call: 100,
            urls_per_second,
            urls_per_call,
        }
    }
}

impl std::str::FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|plan| plan.name().eq_ignore_ascii_case(text));
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("`{text}` is not a plan; there are {names}"))
    }
}

impl TargetKind {
    /// The name of the list in the body of a request.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Tags => "tags",
            Self::Hosts => "hosts",
            Self::Prefixes => "prefixes",
        }
    }

    /// Fields of objects, and columns, that hold items of this kind.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Files => &["url", "file", "files", "urls"],
            Self::Tags => &["tag", "tags"],
            Self::Hosts => &["host", "hosts"],
            Self::Prefixes => &["prefix", "prefixes"],
        }
    }

    /// How many of these one request may carry on a plan.
    #[must_use]
    pub const fn items_per_call(self, plan: Plan) -> u32 {
        match self {
            Self::Files => plan.limits().urls_per_call,
            Self::Tags | Self::Hosts | Self::Prefixes => plan.limits().items_per_call,
        }
    }

    /// Reads one item as it is written on a command line or in a file. A URL may be a JSON object
    /// with `url` and `headers`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(self, text: &str) -> Result<Target, OpenError> {
        let text = text.trim();
        let refused = |why: String| {
            let what = format!("`{text}` can't be purged as one of {}: {why}", self.field());
            OpenError::usage(what, self.hint())
        };
        match self {
            Self::Files if text.starts_with('{') => file_object(text),
            Self::Files => file(text),
            Self::Tags => check_tag(text)
                .map(|()| plain(text, text.to_ascii_lowercase(), None))
                .map_err(Into::into),
            Self::Hosts => host(text).map(|host| plain(&host, host.clone(), Some(host.clone()))),
            Self::Prefixes => prefix(text),
        }
        .map_err(refused)
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Files => "write a whole URL: https://example.com/a.png",
            Self::Tags => "tags are printable ASCII without spaces, at most 1,024 characters",
            Self::Hosts => "write a host name alone: images.example.com",
            Self::Prefixes => {
                "write a host with the beginning of a path: example.com/images, without query"
            }
        }
    }
}

/// An item that is a string in the body, and is the same as others of this identity.
fn plain(text: &str, name: String, host: Option<String>) -> Target {
    let json = Value::from(text).to_string();
    Target { name, json, host }
}

/// Splits a URL into scheme, host without port, and the rest.
fn split_url(url: &str) -> Result<(String, String, &str), String> {
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err("its scheme is neither https nor http".to_owned());
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    Ok((scheme.to_ascii_lowercase(), host(name)?, path))
}

fn file(url: &str) -> Result<Target, String> {
    let (_, host, _) = split_url(url)?;
    if url.contains(char::is_whitespace) {
        return Err("it has spaces; encode them as %20".to_owned());
    }
    Ok(plain(url, url.to_owned(), Some(host)))
}

fn file_object(text: &str) -> Result<Target, String> {
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        url: String,
        #[serde(default)]
        headers: BTreeMap<String, String>,
    }
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.headers.is_empty() {
        return self::file(&file.url);
    }
    let known = |name: &&String| !VARIANT_HEADERS.iter().any(|one| one.eq_ignore_ascii_case(name));
    if let Some(name) = file.headers.keys().find(known) {
        let all = VARIANT_HEADERS.join(", ");
        return Err(format!("the header {name} picks no variant; {all} do"));
    }
    let mut target = self::file(&file.url)?;
    target.json = serde_json::to_string(&file).map_err(|error| error.to_string())?;
    target.name.clone_from(&target.json);
    Ok(target)
}

/// A host name in small letters.
fn host(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err("a host has no scheme".to_owned());
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_part)
    };
    if !name.is_ascii() {
        return Err("write the host in its ASCII form (xn--...)".to_owned());
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("that is not a host name".to_owned());
    }
    Ok(name)
}

/// A prefix, whose scheme is taken off: the API wants none.
fn prefix(text: &str) -> Result<Target, String> {
    let bare = match split_url(text) {
        Ok(_) => text.split_once("://").map_or(text, |(_, rest)| rest),
        Err(_) if text.contains("://") => return Err("its scheme is neither https nor http".into()),
        Err(_) => text,
    };
    if bare.contains('?') {
        return Err("a prefix has no query".to_owned());
    }
    if bare.contains('#') {
        return Err("a prefix has no fragment".to_owned());
    }
    if bare.contains(char::is_whitespace) {
        return Err("it has spaces; encode them as %20".to_owned());
    }
    let slashes = bare.matches('/').count();
    if slashes > PREFIX_SLASHES_MAX {
        return Err(format!("it has {slashes} slashes, over {PREFIX_SLASHES_MAX}"));
    }
    let (authority, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let host = host(authority)?;
    let whole = format!("{host}{path}");
    Ok(plain(&whole, whole.clone(), Some(host)))
}

/// Each item once, in the order in which they came first. Tags are the same whatever their case.
#[must_use]
pub fn unique(targets: Vec<Target>) -> Vec<Target> {
    let mut known = HashSet::new();
    targets.into_iter().filter(|target| known.insert(target.name.clone())).collect()
}

/// The body of a request with these items, each as its [`Target::json`].
pub fn body<'a>(kind: TargetKind, items: impl IntoIterator<Item = &'a str>) -> Bytes {
    let items: Vec<&str> = items.into_iter().collect();
    format!("{{\"{}\":[{}]}}", kind.field(), items.join(",")).into()
}

/// Reads the items of a file, by the ending of its name: `.json` is an array of strings or
/// objects; `.csv` has one item a line in its first column, or in the one that `field` names;
/// anything else has one item a line, and lines that begin with `#` say nothing. `field` also
/// names the field of the objects.
///
/// # Errors
/// When it can't be read, or an item in it is not one.
pub fn read_items(
    kind: TargetKind,
    path: &Path,
    field: Option<&str>,
) -> Result<Vec<Target>, OpenError> {
    let text = read_text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    let items = match ending.as_deref() {
        Some("json") => json_items(kind, text, field),
        Some("csv") => csv_items(kind, text, field),
        _ => Ok(lines(text).filter(|(_, line)| !line.starts_with('#')).collect()),
    };
    let items: Vec<(usize, String)> = items.map_err(|what| {
        OpenError::usage(
            format!("{}: {what}", path.display()),
            "a file of items is .txt, .csv or .json",
        )
    })?;
    let read = |(place, text): &(usize, String)| {
        kind.read(text).map_err(|error| OpenError {
            message: format!("{} ({place}): {}", path.display(), error.message),
            ..error
        })
    };
    items.iter().map(read).collect()
}

fn read_text(path: &Path) -> Result<String, OpenError> {
    let unreadable = |why: String| {
        let what = format!("{} can't be read: {why}", path.display());
        OpenError::usage(what, "name a text file of items in UTF-8")
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable("it has over 64 MiB".to_owned()));
    }
    Ok(text)
}

/// Lines that are not empty, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let numbered = text.lines().enumerate();
    numbered
        .map(|(before, line)| (before + 1, line.trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
}

type Items = Result<Vec<(usize, String)>, String>;

fn json_items(kind: TargetKind, text: &str, field: Option<&str>) -> Items {
    let items: Vec<Value> =
        serde_json::from_str(text).map_err(|error| format!("it is not a JSON array: {error}"))?;
    let of_object = |object: &Value| {
        let named = field.into_iter().chain(kind.fields().iter().copied());
        let named = if field.is_some() { named.take(1) } else { named.take(usize::MAX) };
        let mut found = named.filter_map(|name| object.get(name)?.as_str());
        found.next().map(str::to_owned)
    };
    let read = |(before, item): (usize, &Value)| {
        let text = match item {
            Value::String(text) => Some(text.clone()),
            Value::Object(fields)
                if kind == TargetKind::Files
                    && field.is_none()
                    && fields.contains_key("headers") =>
            {
                Some(item.to_string())
            }
            Value::Object(_) => of_object(item),
            _ => None,
        };
        text.map(|text| (before + 1, text))
            .ok_or_else(|| format!("item {} is neither a string nor has the field", before + 1))
    };
    items.iter().enumerate().map(read).collect()
}

/// The first line is a heading when it names the wanted column.
fn csv_items(kind: TargetKind, text: &str, field: Option<&str>) -> Items {
    let rows = csv_rows(text)?;
    let is_name = |cell: &String| match field {
        Some(field) => cell.trim() == field,
        None => kind.fields().iter().any(|name| cell.trim().eq_ignore_ascii_case(name)),
    };
    let heading = rows.first().and_then(|(_, cells)| cells.iter().position(is_name));
    if let (Some(field), None) = (field, heading) {
        return Err(format!("its first line names no column `{field}`"));
    }
    let column = heading.unwrap_or_default();
    let rows = rows.into_iter().skip(usize::from(heading.is_some()));
    let cells = rows.filter_map(|(line, mut cells)| {
        let cell = (column < cells.len()).then(|| cells.swap_remove(column))?;
        (!cell.trim().is_empty()).then_some((line, cell))
    });
    Ok(cells.collect())
}

fn csv_rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let fields = |(line, row): (usize, String)| {
        let fields = csv_fields(row.as_bytes()).map_err(|what| format!("line {line}: {what}"))?;
        let text = |field: &Cow<'_, [u8]>| String::from_utf8_lossy(field).into_owned();
        Ok((line, fields.iter().map(text).collect()))
    };
    lines(text).map(fields).collect()
}

/// The zone that a host is in: the longest name that the host is, or ends with behind a dot.
#[must_use]
pub fn zone_of<'z>(host: &str, zones: &'z [Zone]) -> Option<&'z Zone> {
    let is_in = |zone: &&Zone| {
        let rest = host.strip_suffix(zone.name.to_ascii_lowercase().as_str());
        !zone.name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    zones.iter().filter(is_in).max_by_key(|zone| zone.name.len())
}

/// The zone of each host.
///
/// # Errors
/// When some are in none of the zones; all of them are named.
pub fn assign(
    hosts: impl IntoIterator<Item = impl AsRef<str>>,
    zones: &[Zone],
) -> Result<Vec<&Zone>, OpenError> {
    let mut unknown = BTreeSet::new();
    let mut found = Vec::new();
    for host in hosts {
        let host = host.as_ref().to_ascii_lowercase();
        match zone_of(&host, zones) {
            Some(zone) => found.push(zone),
            None => {
                unknown.insert(host);
            }
        }
    }
    if unknown.is_empty() {
        return Ok(found);
    }
    let unknown = unknown.into_iter().collect::<Vec<_>>().join(", ");
    Err(OpenError::usage(
        format!("no zone of these credentials has {unknown}"),
        "`windlass zones list` shows the zones; name one with --zone",
    ))
}
