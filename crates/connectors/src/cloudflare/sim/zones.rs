//! Accounts and zones, and the purges that zones accept.

use bytes::Bytes;
use http::Response;
use serde_json::{Map, Value, json};

use super::generate::identifier;
use super::options::{Options, Plan};
use super::paging::Paging;
use super::replies::{Envelope, Refusal};
use super::routes::{is_identifier, parameters};

/// The longest page of zones and of accounts.
const MOST_LISTED: usize = 50;
/// The most tags, hosts or prefixes of a purge, and URLs of one on the Enterprise plan.
const MOST_ITEMS: usize = 100;
const MOST_ENTERPRISE_URLS: usize = 500;
/// The most letters of all tags of a purge together.
const MOST_TAG_LETTERS: usize = 1_024;
/// The most slashes of a prefix.
const MOST_SEPARATORS: usize = 31;

/// One zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub id: String,
    pub name: String,
    pub plan: Plan,
    account: String,
}

/// All zones, and the accounts that they belong to.
#[derive(Debug)]
pub(super) struct Zones {
    pub all: Vec<Zone>,
    accounts: Vec<String>,
}

impl Zones {
    /// Zones without a name of their own are `zone-1.example` and so on.
    pub(super) fn new(options: &Options) -> Self {
        let zone = |at: usize| {
            let name = options.zone_names.get(at).cloned();
            Zone {
                id: identifier(options.chassis.seed ^ 0x5A4F, at as u64),
                name: name.unwrap_or_else(|| format!("zone-{}.example", at + 1)),
                plan: options.plans[at % options.plans.len()],
                account: options.accounts[at % options.accounts.len()].clone(),
            }
        };
        let all = (0..options.zones as usize).map(zone).collect();
        Self { all, accounts: options.accounts.clone() }
    }

    pub(super) fn is_account(&self, id: &str) -> bool {
        self.accounts.iter().any(|known| known == id) || is_identifier(id)
    }

    /// Any other identifier is another name of the first account.
    fn account_of<'a>(&'a self, id: &'a str) -> &'a str {
        let is_alias = is_identifier(id) && !self.accounts.iter().any(|known| known == id);
        if is_alias { &self.accounts[0] } else { id }
    }

    /// A zone; one that is not ours is as forbidden as one that does not exist.
    pub(super) fn get(&self, id: &str, path: &str) -> Result<&Zone, Refusal> {
        if !is_identifier(id) {
            return Err(Refusal::bad_identifier(path));
        }
        self.all.iter().find(|zone| zone.id == id).ok_or_else(Refusal::forbidden)
    }

    fn json(zone: &Zone) -> Value {
        let (name, legacy) = match zone.plan {
            Plan::Free => ("Free Website", "free"),
            Plan::Pro => ("Pro Website", "pro"),
            Plan::Business => ("Business Website", "business"),
            Plan::Enterprise => ("Enterprise Website", "enterprise"),
        };
        json!({
            "id": zone.id,
            "name": zone.name,
            "status": "active",
            "paused": false,
            "type": "full",
            "account": {"id": zone.account, "name": zone.account},
            "plan": {"id": legacy, "name": name, "legacy_id": legacy},
        })
    }

    pub(super) fn show(
        &self,
        (id, path): (&str, &str),
        envelope: Envelope,
    ) -> Result<Response<Bytes>, Refusal> {
        Ok(envelope.success(&Self::json(self.get(id, path)?), None))
    }

    pub(super) fn list(&self, query: &str, envelope: Envelope) -> Result<Response<Bytes>, Refusal> {
        let mut paging = Paging::up_to(MOST_LISTED);
        let mut filters: Vec<(String, String)> = Vec::new();
        let mut any = false;
        for (name, value) in parameters(query) {
            let value = value.unwrap_or_default();
            match name {
                "name" | "status" | "account.id" => filters.push((name.to_owned(), value)),
                "match" => any = value == "any",
                _ => {
                    paging.take(name, &value)?;
                }
            }
        }
        let fits = |zone: &&Zone| {
            let one = |(name, value): &(String, String)| match name.as_str() {
                "name" => zone.name == *value,
                "status" => value == "active",
                _ => zone.account == self.account_of(value),
            };
            if any && !filters.is_empty() {
                filters.iter().any(one)
            } else {
                filters.iter().all(one)
            }
        };
        let all: Vec<Value> = self.all.iter().filter(fits).map(Self::json).collect();
        Ok(paging.reply(&all, envelope))
    }

    pub(super) fn list_accounts(
        &self,
        query: &str,
        envelope: Envelope,
    ) -> Result<Response<Bytes>, Refusal> {
        let mut paging = Paging::up_to(MOST_LISTED);
        for (name, value) in parameters(query) {
            paging.take(name, &value.unwrap_or_default())?;
        }
        let json = |id: &String| json!({"id": id, "name": id, "type": "standard"});
        let all: Vec<Value> = self.accounts.iter().map(json).collect();
        Ok(paging.reply(&all, envelope))
    }
}

/// What is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeKind {
    /// All of the zone.
    Everything,
    /// By URL.
    Files,
    /// By cache tag.
    Tags,
    /// By host name.
    Hosts,
    /// By the beginning of a URL, without its scheme.
    Prefixes,
}

/// A purge that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The id of the zone.
    pub zone: String,
    /// The environment of the zone, for zones with versions.
    pub environment: Option<String>,
    /// What is purged.
    pub kind: PurgeKind,
    /// The URLs, tags, hosts or prefixes as they were sent; a URL with headers as its JSON.
    pub items: Vec<String>,
    /// Whether the content is marked stale rather than dropped.
    pub invalidate: bool,
}

const KINDS: [(&str, PurgeKind); 5] = [
    ("purge_everything", PurgeKind::Everything),
    ("files", PurgeKind::Files),
    ("tags", PurgeKind::Tags),
    ("hosts", PurgeKind::Hosts),
    ("prefixes", PurgeKind::Prefixes),
];

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, 1_012, message)
}

/// What a body asks to purge, and how many items it names. `most_urls` is for other plans than
/// Enterprise.
pub(super) fn read_purge(
    body: &[u8],
    plan: Plan,
    in_environment: bool,
    most_urls: usize,
) -> Result<(PurgeKind, Vec<String>), Refusal> {
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| invalid(format!("body: {error}")))?;
    let mut asked = KINDS.iter().filter(|(name, _)| body.contains_key(*name));
    let (Some((name, kind)), None) = (asked.next(), asked.next()) else {
        let names = KINDS.map(|(name, _)| name).join(", ");
        return Err(invalid(format!("Request must contain exactly one of {names}")));
    };
    if *kind == PurgeKind::Everything {
        let is_true = body[*name] == Value::Bool(true);
        let wrong = || invalid("purge_everything: expected true");
        return is_true.then_some((*kind, Vec::new())).ok_or_else(wrong);
    }
    if *kind == PurgeKind::Files && in_environment {
        return Err(Refusal::new(400, 1_136, "no purge by URL in an environment"));
    }
    let items = body[*name].as_array().ok_or_else(|| invalid(format!("{name}: no array")))?;
    let most = match (kind, plan) {
        (PurgeKind::Files, Plan::Enterprise) => MOST_ENTERPRISE_URLS,
        (PurgeKind::Files, _) => most_urls,
        _ => MOST_ITEMS,
    };
    if items.is_empty() || items.len() > most {
        let message = format!("{name}: {} items, from 1 to {most} are allowed", items.len());
        return Err(invalid(message));
    }
    let items: Option<Vec<String>> = items.iter().map(|value| item(*kind, value)).collect();
    let items = items.ok_or_else(|| invalid(format!("{name}: an item is malformed")))?;
    let letters: usize = items.iter().map(String::len).sum();
    if *kind == PurgeKind::Tags && letters > MOST_TAG_LETTERS {
        return Err(invalid(format!("tags: {letters} letters, {MOST_TAG_LETTERS} at most")));
    }
    Ok((*kind, items))
}

/// An item as text, if it is well formed.
fn item(kind: PurgeKind, value: &Value) -> Option<String> {
    let text = value.as_str();
    let is_good = match kind {
        PurgeKind::Everything => false,
        PurgeKind::Files => is_url(text.or_else(|| value.get("url")?.as_str())?),
        PurgeKind::Tags => !text?.is_empty() && text?.bytes().all(|byte| byte.is_ascii_graphic()),
        PurgeKind::Hosts => is_host(text?),
        PurgeKind::Prefixes => {
            let text = text?;
            let host = text.split('/').next().unwrap_or("");
            is_host(host)
                && !text.contains(['?', '#', ' '])
                && text.matches('/').count() <= MOST_SEPARATORS
        }
    };
    is_good.then(|| text.map_or_else(|| value.to_string(), str::to_owned))
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| is_host(rest.split(['/', '?']).next().unwrap_or("")))
}

/// A port is allowed; a scheme leaves an empty one before its slashes.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte))
        && port.parse::<u16>().is_ok()
}
