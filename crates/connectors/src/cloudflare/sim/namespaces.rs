//! The namespaces of the account: which there are, and their titles.

use std::cmp::Ordering;

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_sim::Micros;

use super::generate::{Generated, identifier};
use super::options::Options;
use super::paging::Paging;
use super::replies::{Envelope, Refusal};
use super::routes::parameters;
use super::store::Store;

/// The most namespaces of an account.
const MOST: usize = 1_000;
/// The longest page of namespaces.
const MOST_LISTED: usize = 1_000;
const JURISDICTIONS: [&str; 3] = ["eu", "fedramp", "us"];

/// One namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    pub id: String,
    /// A number that no other namespace ever has.
    pub serial: usize,
    pub title: String,
    jurisdiction: Option<String>,
    pub store: Store,
}

impl Namespace {
    /// What is in it, with the names where they are few.
    pub(super) fn remaining(&self, now: u64) -> Value {
        const MOST_NAMES: u64 = 100_000;
        let count = self.store.len(now);
        let names = (count <= MOST_NAMES).then(|| self.store.names(now));
        json!({
            "id": self.id,
            "title": self.title,
            "keys": count,
            "digest": self.store.digest(now),
            "names": names,
        })
    }

    fn json(&self) -> Value {
        let mut value = json!({"id": self.id, "title": self.title, "supports_url_encoding": true});
        if let Some(jurisdiction) = &self.jurisdiction {
            value["jurisdiction"] = json!(jurisdiction);
        }
        value
    }
}

/// The body that creates or renames one.
#[derive(Debug, Deserialize)]
struct Wish {
    title: String,
    jurisdiction: Option<String>,
}

impl Wish {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let wish: Self = serde_json::from_slice(body)
            .map_err(|error| Refusal::invalid(format!("body: {error}")))?;
        if wish.title.is_empty() {
            return Err(Refusal::invalid("title: it is empty"));
        }
        if let Some(other) = &wish.jurisdiction
            && !JURISDICTIONS.contains(&other.as_str())
        {
            return Err(Refusal::invalid(format!("jurisdiction: there is no `{other}`")));
        }
        Ok(wish)
    }
}

/// All namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    all: Vec<Namespace>,
    seed: u64,
    lags: bool,
    created: usize,
}

impl Namespaces {
    /// The first one with generated keys, the others empty; their titles are `namespace-1` and so
    /// on.
    pub(super) fn new(options: &Options) -> Self {
        let mut new = Self {
            all: Vec::new(),
            seed: options.chassis.seed,
            lags: !options.lag.is_zero(),
            created: 0,
        };
        for number in 1..=options.namespaces {
            let first = number == 1;
            let id = options.namespace_id.clone().filter(|_| first);
            let generated = if first { generated(options) } else { Generated::nothing() };
            new.add(id, format!("namespace-{number}"), None, generated);
        }
        new
    }

    fn add(
        &mut self,
        id: Option<String>,
        title: String,
        jurisdiction: Option<String>,
        generated: Generated,
    ) -> &Namespace {
        let serial = self.created;
        self.created += 1;
        let id = id.unwrap_or_else(|| identifier(self.seed ^ 0x4B56, serial as u64));
        let store = Store::new(generated, self.lags);
        self.all.push(Namespace { id, serial, title, jurisdiction, store });
        &self.all[self.all.len() - 1]
    }

    pub(super) fn all(&self) -> &[Namespace] {
        &self.all
    }

    pub(super) fn get(&self, id: &str) -> Option<&Namespace> {
        self.all.iter().find(|namespace| namespace.id == id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Namespace> {
        self.all.iter_mut().find(|namespace| namespace.id == id)
    }

    pub(super) fn settle(&mut self, now: Micros) {
        self.all.iter_mut().for_each(|namespace| namespace.store.settle(now));
    }

    pub(super) fn expire_at(&mut self, expires_at: u64) {
        self.all.iter_mut().for_each(|namespace| namespace.store.expire_at(expires_at));
    }

    pub(super) fn list(&self, query: &str, envelope: Envelope) -> Result<Response<Bytes>, Refusal> {
        let mut paging = Paging::up_to(MOST_LISTED);
        let (mut by_title, mut is_descending) = (false, false);
        for (name, value) in parameters(query) {
            let value = value.unwrap_or_default();
            match (name, value.as_str()) {
                ("order", "id") => by_title = false,
                ("order", "title") => by_title = true,
                ("direction", "asc") => is_descending = false,
                ("direction", "desc") => is_descending = true,
                ("order" | "direction", other) => {
                    return Err(Refusal::invalid(format!("{name}: there is no `{other}`")));
                }
                (name, value) => {
                    paging.take(name, value)?;
                }
            }
        }
        let mut sorted: Vec<&Namespace> = self.all.iter().collect();
        let compare = |a: &Namespace, b: &Namespace| -> Ordering {
            if by_title { a.title.cmp(&b.title) } else { a.id.cmp(&b.id) }
        };
        sorted.sort_by(|a, b| if is_descending { compare(b, a) } else { compare(a, b) });
        let all: Vec<Value> = sorted.into_iter().map(Namespace::json).collect();
        Ok(paging.reply(&all, envelope))
    }

    pub(super) fn create(
        &mut self,
        body: &[u8],
        envelope: Envelope,
    ) -> Result<Response<Bytes>, Refusal> {
        let wish = Wish::read(body)?;
        self.check_title(&wish.title, None)?;
        if self.all.len() >= MOST {
            return Err(Refusal::new(400, 10_030, format!("an account has {MOST} at most")));
        }
        let new = self.add(None, wish.title, wish.jurisdiction, Generated::nothing());
        Ok(envelope.success(&new.json(), None))
    }

    pub(super) fn show(&self, id: &str, envelope: Envelope) -> Result<Response<Bytes>, Refusal> {
        let found = self.get(id).ok_or_else(not_found)?;
        Ok(envelope.success(&found.json(), None))
    }

    pub(super) fn rename(
        &mut self,
        (id, body): (&str, &[u8]),
        envelope: Envelope,
    ) -> Result<Response<Bytes>, Refusal> {
        let wish = Wish::read(body)?;
        self.check_title(&wish.title, Some(id))?;
        let found = self.get_mut(id).ok_or_else(not_found)?;
        found.title = wish.title;
        Ok(envelope.success(&found.json(), None))
    }

    pub(super) fn remove(
        &mut self,
        id: &str,
        envelope: Envelope,
    ) -> Result<Response<Bytes>, Refusal> {
        let at = self.all.iter().position(|namespace| namespace.id == id);
        self.all.remove(at.ok_or_else(not_found)?);
        Ok(envelope.empty())
    }

    fn check_title(&self, title: &str, own: Option<&str>) -> Result<(), Refusal> {
        let is_taken = |other: &Namespace| other.title == title && Some(other.id.as_str()) != own;
        if self.all.iter().any(is_taken) {
            let message = "a namespace with this account ID and title already exists";
            return Err(Refusal::new(400, 10_014, message));
        }
        Ok(())
    }
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(404, 10_013, "namespace not found")
}

fn generated(options: &Options) -> Generated {
    Generated {
        seed: options.chassis.seed,
        count: options.keys,
        value_bytes: options.value_bytes,
        metadata_every: if options.no_metadata { 0 } else { options.metadata_every },
        expiring_every: options.expiring_every,
        binary_every: options.binary_every,
        expires_at: u64::MAX,
        has_odd_keys: options.odd_keys,
    }
}
