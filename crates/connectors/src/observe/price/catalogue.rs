//! Which entry of the price map a model belongs to. The lookup goes from the user's own prices to
//! looser and looser readings of the model's name; what it finds, or that it finds nothing, is
//! kept per provider, model and tier. Rate cards are kept, costs never: those depend on the tokens.

use super::card::Card;
use super::field::Tier;
use super::names::{providers, spellings};
use super::overrides::Overrides;
use super::table::{Entry, NAME_MAX, Table};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use std::sync::Arc;

/// How many rate cards are kept, unknown models included. Clients make up names, so it is bounded.
const CARDS_MAX: usize = 4_096;

/// One state of the prices: it never changes, a new map or a new file of the user is a new one with
/// an empty cache.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) table: Arc<Table>,
    pub(super) overrides: Arc<Overrides>,
    /// What stamps the rows.
    pub(super) hash: String,
    cards: Cache<Key, Option<Arc<Card>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    provider: String,
    model: String,
    tier: Tier,
}

/// The same as [`Key`], so that a lookup copies no text.
#[derive(Hash)]
struct KeyRef<'a> {
    provider: &'a str,
    model: &'a str,
    tier: Tier,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.tier == key.tier && self.model == key.model && self.provider == key.provider
    }
}

impl Catalogue {
    pub(super) fn new(table: Arc<Table>, overrides: Arc<Overrides>) -> Self {
        let hash = table.hash(overrides.source());
        Self { table, overrides, hash, cards: Cache::new(CARDS_MAX) }
    }

    /// The rate card of a model; `None` for one that is not known.
    pub(super) fn card(&self, provider: &str, model: &str, tier: Tier) -> Option<Arc<Card>> {
        if model.is_empty() || model.len() > NAME_MAX {
            return None;
        }
        let provider = if provider.len() > NAME_MAX { "" } else { provider };
        let key = KeyRef { provider, model, tier };
        if let Some(kept) = self.cards.get(&key) {
            return kept;
        }
        let card = self.find(provider, model, |entry| Arc::new(Card::new(entry, tier)));
        let key = Key { provider: provider.to_owned(), model: model.to_owned(), tier };
        self.cards.insert(key, card.clone());
        card
    }

    /// The first of: the user's exact names, the user's patterns, the map's names in the order of
    /// [`spellings`], the user's patterns that are for unknown models.
    fn find<T>(&self, provider: &str, model: &str, use_it: impl Fn(&Entry<'_>) -> T) -> Option<T> {
        let providers = providers(provider);
        if let Some(entry) = self.overrides.find(&providers, model) {
            return Some(use_it(&entry));
        }
        let named = spellings(model);
        if let Some(entry) = named.iter().find_map(|name| self.of_map(&providers, name)) {
            return Some(use_it(&entry));
        }
        self.overrides.find_fallback(&providers, model).map(|entry| use_it(&entry))
    }

    fn of_map(&self, providers: &[String], name: &str) -> Option<Entry<'_>> {
        let full: Vec<String> = providers.iter().map(|own| format!("{own}/{name}")).collect();
        let names = || full.iter().map(String::as_str).chain([name]);
        names()
            .find_map(|name| self.table.exact(name))
            .or_else(|| names().find_map(|name| self.table.folded(name)))
    }
}
