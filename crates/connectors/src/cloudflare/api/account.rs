//! What lies above the keys: namespaces, zones, purging, and the state of the token.

use super::refusal::Permission;
use super::{Api, Call, REQUEST_ID, Reply, query, segment};
use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_engine::Failure;
use windlass_engine::remote::Attempt;

/// How many namespaces are asked for at once: what wrangler asks for, and as many as an account
/// can have.
const NAMESPACES_A_PAGE: u32 = 1_000;
/// How many zones are asked for at once: the most that official clients ask for.
const ZONES_A_PAGE: u32 = 50;

/// A Workers KV namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its id: 32 hex digits.
    pub id: String,
    /// What people call it; unique in its account.
    pub title: String,
    /// Whether percent-encoded keys in paths are decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supports_url_encoding: Option<bool>,
    /// Where its data must stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jurisdiction: Option<String>,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its id: 32 hex digits.
    pub id: String,
    /// Its domain.
    pub name: String,
    /// Such as `active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Which zones.
#[derive(Clone, Copy, Debug)]
pub struct ZoneQuery<'a> {
    /// Only the one with exactly this name.
    pub name: Option<&'a str>,
    /// Only those of the account with this id.
    pub account: Option<&'a str>,
    /// Which page, from 1.
    pub page: u32,
}

/// One page of namespaces or zones.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// What is on it. A page past the end is empty.
    pub items: Vec<T>,
    /// How many there are on all pages, where the answer says so.
    pub total: Option<u64>,
}

/// What is done with what a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is dropped.
    Purge,
    /// It is marked stale, so that the origin can say that it still holds.
    Invalidate,
}

impl Action {
    const fn path(self) -> &'static str {
        match self {
            Self::Purge => "/purge_cache",
            Self::Invalidate => "/invalidate_cache",
        }
    }
}

impl Api {
    /// Reads one page, from 1, of the account's namespaces by their titles.
    ///
    /// # Errors
    /// Everything but a page.
    pub async fn namespaces(
        &self,
        page: u32,
        attempt: Attempt,
    ) -> Result<Reply<Listed<Namespace>>, Failure> {
        let mut path = self.namespaces_path()?;
        query(&mut path, "per_page", &NAMESPACES_A_PAGE.to_string());
        query(&mut path, "page", &page.to_string());
        query(&mut path, "order", "title");
        query(&mut path, "direction", "asc");
        self.listed(Call::new(Method::GET, path, Permission::KvRead), &attempt).await
    }

    /// Reads one namespace.
    ///
    /// # Errors
    /// Everything but a namespace.
    pub async fn namespace(&self, id: &str, attempt: Attempt) -> Result<Reply<Namespace>, Failure> {
        let path = self.namespace_path(id)?;
        self.ask(Call::new(Method::GET, path, Permission::KvRead), &attempt).await
    }

    /// Creates a namespace, whose data stays in the jurisdiction (`eu`, `fedramp`, `us`) for good
    /// if one is named.
    ///
    /// # Errors
    /// [`windlass_engine::Kind::Conflict`] where the title is taken, and everything else but a
    /// namespace.
    pub async fn create_namespace(
        &self,
        title: &str,
        jurisdiction: Option<&str>,
        attempt: Attempt,
    ) -> Result<Reply<Namespace>, Failure> {
        #[derive(Serialize)]
        struct New<'a> {
            title: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            jurisdiction: Option<&'a str>,
        }
        let body = json(&New { title, jurisdiction });
        let call = Call::new(Method::POST, self.namespaces_path()?, Permission::KvWrite);
        self.ask(call.json(body), &attempt).await
    }

    /// Gives a namespace another title. Older schemas answer with nothing, so nothing is read.
    ///
    /// # Errors
    /// [`windlass_engine::Kind::Conflict`] where the title is taken, and everything else but
    /// success.
    pub async fn rename_namespace(
        &self,
        id: &str,
        title: &str,
        attempt: Attempt,
    ) -> Result<Reply<()>, Failure> {
        #[derive(Serialize)]
        struct Changed<'a> {
            title: &'a str,
        }
        let call = Call::new(Method::PUT, self.namespace_path(id)?, Permission::KvWrite);
        self.tell(call.json(json(&Changed { title })), &attempt).await
    }

    /// Deletes a namespace and all keys in it.
    ///
    /// # Errors
    /// Everything but success.
    pub async fn delete_namespace(&self, id: &str, attempt: Attempt) -> Result<Reply<()>, Failure> {
        let path = self.namespace_path(id)?;
        self.tell(Call::new(Method::DELETE, path, Permission::KvWrite), &attempt).await
    }

    /// Reads one page of the zones that the credentials can see.
    ///
    /// # Errors
    /// Everything but a page.
    pub async fn zones(
        &self,
        wanted: &ZoneQuery<'_>,
        attempt: Attempt,
    ) -> Result<Reply<Listed<Zone>>, Failure> {
        let mut path = "/zones".to_owned();
        query(&mut path, "per_page", &ZONES_A_PAGE.to_string());
        query(&mut path, "page", &wanted.page.to_string());
        for (name, value) in [("name", wanted.name), ("account.id", wanted.account)] {
            if let Some(value) = value {
                query(&mut path, name, value);
            }
        }
        self.listed(Call::new(Method::GET, path, Permission::ZoneRead), &attempt).await
    }

    /// Reads one zone.
    ///
    /// # Errors
    /// Everything but a zone.
    pub async fn zone(&self, id: &str, attempt: Attempt) -> Result<Reply<Zone>, Failure> {
        let path = zone_path(id, None)?;
        self.ask(Call::new(Method::GET, path, Permission::ZoneRead), &attempt).await
    }

    /// Purges or invalidates the `items` things that `body` names, in one of the zone's
    /// environments where one is named. Success means that it was accepted, not that anything was
    /// there.
    ///
    /// # Errors
    /// [`windlass_engine::Kind::TooLarge`] where fewer items may do, and everything else but
    /// success.
    pub async fn purge(
        &self,
        zone: &str,
        environment: Option<&str>,
        action: Action,
        body: Bytes,
        items: u32,
        attempt: Attempt,
    ) -> Result<Reply<()>, Failure> {
        let mut path = zone_path(zone, environment)?;
        path.push_str(action.path());
        let call = Call::new(Method::POST, path, Permission::CachePurge);
        self.tell(call.json(body).items(items), &attempt).await
    }

    async fn listed<T: DeserializeOwned>(
        &self,
        call: Call,
        attempt: &Attempt,
    ) -> Result<Reply<Listed<T>>, Failure> {
        #[derive(Default, Deserialize)]
        struct Info {
            #[serde(default)]
            total_count: Option<u64>,
        }
        let response = self.send(&call, attempt).await?;
        let envelope = self.envelope(&response, &call)?;
        let items = envelope
            .result
            .map_or_else(|| Ok(Vec::new()), |items| serde_json::from_str(items.get()));
        let items = items.map_err(|error| self.malformed(&response, &error))?;
        let info = envelope.result_info.map(RawValue::get);
        let info: Info = info.and_then(|info| serde_json::from_str(info).ok()).unwrap_or_default();
        Ok(Reply::of(Listed { items, total: info.total_count }, &response, REQUEST_ID))
    }
}

fn zone_path(zone: &str, environment: Option<&str>) -> Result<String, Failure> {
    let mut path = "/zones/".to_owned();
    segment(&mut path, "zone", zone)?;
    if let Some(environment) = environment {
        path.push_str("/environments/");
        segment(&mut path, "environment", environment)?;
    }
    Ok(path)
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("text fields are JSON").into()
}
