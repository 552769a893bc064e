//! How many requests went to each route.

use http::Method;
use serde_json::{Map, Value};

use super::routes::{KvRoute, Route};

/// The requests that the limits let through, by what they asked for, whatever was answered.
/// Requests that met a fault of the network, or a 429 for the limits, are in the ledger alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages of keys.
    pub list: u64,
    /// Reads of many values.
    pub bulk_get: u64,
    /// Writes of many values.
    pub bulk_put: u64,
    /// Deletions of many keys, by either of the two routes.
    pub bulk_delete: u64,
    /// Reads of one value.
    pub get: u64,
    /// Writes of one value.
    pub put: u64,
    /// Deletions of one key.
    pub delete: u64,
    /// Reads of one key's metadata.
    pub metadata: u64,
    /// Everything about namespaces themselves.
    pub namespaces: u64,
    /// Zones, one or many.
    pub zones: u64,
    /// Purges and invalidations.
    pub purge: u64,
    /// Accounts, and the check of a token.
    pub other: u64,
}

impl Counts {
    pub(super) fn note(&mut self, method: &Method, route: &Route<'_>) {
        let count = match route {
            Route::Verify | Route::Accounts => &mut self.other,
            Route::Zones | Route::Zone(_) => &mut self.zones,
            Route::Purge { .. } => &mut self.purge,
            Route::Account { rest, .. } => match (rest, method) {
                (KvRoute::Namespaces | KvRoute::Namespace(_), _) => &mut self.namespaces,
                (KvRoute::Keys(_), _) => &mut self.list,
                (KvRoute::Value(..), &Method::PUT) => &mut self.put,
                (KvRoute::Value(..), &Method::DELETE) => &mut self.delete,
                (KvRoute::Value(..), _) => &mut self.get,
                (KvRoute::Metadata(..), _) => &mut self.metadata,
                (KvRoute::Bulk(_), &Method::DELETE) | (KvRoute::BulkDelete(_), _) => {
                    &mut self.bulk_delete
                }
                (KvRoute::Bulk(_), _) => &mut self.bulk_put,
                (KvRoute::BulkGet(_), _) => &mut self.bulk_get,
            },
        };
        *count += 1;
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    pub(super) fn json(&self) -> Map<String, Value> {
        self.named().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect()
    }

    fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("list", self.list),
            ("bulk_get", self.bulk_get),
            ("bulk_put", self.bulk_put),
            ("bulk_delete", self.bulk_delete),
            ("get", self.get),
            ("put", self.put),
            ("delete", self.delete),
            ("metadata", self.metadata),
            ("namespaces", self.namespaces),
            ("zones", self.zones),
            ("purge", self.purge),
            ("other", self.other),
        ]
    }
}
