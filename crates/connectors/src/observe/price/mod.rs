//! What a generation costs. The prices are LiteLLM's map (MIT licence, `LICENSE.litellm`), reduced
//! to the prices of tokens and built in, with the user's own prices over it; a newer map replaces
//! it while the program runs.
//!
//! Money is counted in whole numbers, an unknown model has no cost instead
//! of a cost of 0, and every row names the entry and the map that it was priced with.
//!
//! Where this differs from LiteLLM 1.109.1 on purpose:
//! - A token whose class has no price makes the cost unknown; LiteLLM takes 0.
//! - A batch of a model without prices for batches costs the usual price; LiteLLM's batch
//!   calculator takes half of it, whatever the vendor.
//! - Prices of cached tokens and service tiers count for every provider that the map has them for;
//!   LiteLLM's calculators for Perplexity and Fireworks leave them out.
//!
//! Not known here, since no convention reports it: surcharges by the region that served a call,
//! Anthropic's `fast` speed, and fees per search, image or second.

mod card;
mod catalogue;
mod field;
pub mod money;
mod names;
mod off_peak;
mod overrides;
mod refresh;
mod table;
#[cfg(test)]
mod tests;

pub use refresh::Refreshed;

use crate::observe::event::{CostRow, Facts};
use arc_swap::ArcSwap;
use card::Card;
use catalogue::Catalogue;
use field::Tier;
use flate2::read::GzDecoder;
use overrides::Overrides;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use table::Table;

/// The reduced map, written by `cargo xtask prices`.
const BUNDLED: &[u8] = include_bytes!("prices.json.gz");
/// Classes of observations that call a model.
const GENERATIONS: [&str; 2] = ["generation", "embedding"];

/// What is wrong with prices.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// The built-in map cannot be read, which tests exclude.
    #[error("the built-in price map: {0}")]
    Bundled(String),
    /// A line of the user's file.
    #[error("line {line}: {}{problem}", of_price(name))]
    Override {
        /// The line, from 1.
        line: usize,
        /// The model or pattern, where it is known.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A new map that is not taken; the one in use stays.
    #[error("the new price map is refused: {0}")]
    Refused(String),
}

fn of_price(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("price of `{name}`: ") }
}

/// Whose cost counts where the client states one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precedence {
    /// Ours; the client's where the model is unknown to us.
    #[default]
    Ours,
    /// The client's; ours where it states none.
    Stated,
}

/// The prices in use. Shared by all threads; a lookup takes no lock that a writer holds for long.
#[derive(Debug)]
pub struct Prices {
    current: ArcSwap<Catalogue>,
    bundled: Arc<Table>,
    precedence: Precedence,
    unknown: AtomicU64,
}

impl Prices {
    /// The built-in map under the user's own prices, the text of a TOML file. The map is
    /// unpacked once in a process, which takes some ten milliseconds.
    ///
    /// # Errors
    ///
    /// [`PriceError::Override`] with the line of what is wrong in the user's file.
    pub fn bundled(overrides: Option<&str>) -> Result<Self, PriceError> {
        let overrides = read_overrides(overrides)?;
        let bundled = bundled()?;
        Ok(Self {
            current: ArcSwap::from_pointee(Catalogue::new(Arc::clone(&bundled), overrides)),
            bundled,
            precedence: Precedence::default(),
            unknown: AtomicU64::new(0),
        })
    }

    /// The same prices with another answer to whose cost counts.
    #[must_use]
    pub fn with_precedence(self, precedence: Precedence) -> Self {
        Self { precedence, ..self }
    }

    /// Replaces the map by a new one in LiteLLM's format, whole or reduced; the user's prices stay
    /// over it. Costs that are worked out meanwhile use one or the other.
    ///
    /// # Errors
    ///
    /// [`PriceError::Refused`] where it is no map, is empty, has less than half of the built-in
    /// models or none of the well-known ones. The map in use then stays.
    pub fn refresh(&self, json: &[u8]) -> Result<Refreshed, PriceError> {
        let table = refresh::read(json, &self.bundled)?;
        let before = self.current.load();
        let after = Catalogue::new(Arc::new(table), Arc::clone(&before.overrides));
        let refreshed = Refreshed {
            models: after.table.len(),
            models_before: before.table.len(),
            is_changed: after.hash != before.hash,
            hash: after.hash.clone(),
        };
        self.current.store(Arc::new(after));
        Ok(refreshed)
    }

    /// Replaces the user's own prices.
    ///
    /// # Errors
    ///
    /// [`PriceError::Override`] with the line of what is wrong. The prices in use then stay.
    pub fn override_with(&self, overrides: Option<&str>) -> Result<(), PriceError> {
        let overrides = read_overrides(overrides)?;
        let table = Arc::clone(&self.current.load().table);
        self.current.store(Arc::new(Catalogue::new(table, overrides)));
        Ok(())
    }

    /// What an event cost. `None` for what is no call of a model: it has no tokens, and is no
    /// generation with a model. A generation whose model has no price, or that says nothing of its
    /// tokens, has a row without a cost.
    #[must_use]
    pub fn cost(&self, facts: &Facts) -> Option<CostRow> {
        if !is_priced(facts) {
            return None;
        }
        let catalogue = self.current.load();
        let card = card_of(&catalogue, facts);
        let has_tokens = !facts.usage.is_empty();
        let at = if facts.end_ns > 0 { facts.end_ns } else { facts.start_ns };
        let ours = card.as_ref().filter(|_| has_tokens).and_then(|c| c.cost(&facts.usage, at));
        let stated = match self.precedence {
            Precedence::Ours => facts.stated_cost_pico.filter(|_| ours.is_none()),
            Precedence::Stated => facts.stated_cost_pico,
        };
        if ours.is_none() && stated.is_none() && has_tokens {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
        let ours = ours.filter(|_| stated.is_none());
        Some(CostRow {
            provider: facts.provider.clone(),
            model: name_of(facts).to_owned(),
            matched_key: card.map(|card| card.key.clone()),
            price_hash: catalogue.hash.clone(),
            usage: facts.usage,
            cost_pico: stated.or(ours.as_ref().map(|cost| cost.total)),
            input_pico: ours.as_ref().map(|cost| cost.input),
            output_pico: ours.as_ref().map(|cost| cost.output),
            tier: ours.map(|cost| cost.tier).unwrap_or_default(),
            stated: stated.is_some(),
        })
    }

    /// How many events with tokens had no cost since the start.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// What stamps rows now: twelve hexadecimal digits that stand for all prices in use.
    #[must_use]
    pub fn hash(&self) -> String {
        self.current.load().hash.clone()
    }

    /// How many models the map in use has, the user's own not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.load().table.len()
    }
}

fn is_priced(facts: &Facts) -> bool {
    let is_generation = GENERATIONS.contains(&facts.class.as_str());
    let has_model = facts.model.is_some() || facts.requested_model.is_some();
    let is_stated = facts.stated_cost_pico.is_some();
    !facts.usage.is_empty() || is_generation && (has_model || is_stated) || has_model && is_stated
}

fn name_of(facts: &Facts) -> &str {
    facts.model.as_deref().or(facts.requested_model.as_deref()).unwrap_or_default()
}

/// The card of the model that answered, else of the one that was asked: some vendors answer with a
/// name of their own deployment.
fn card_of(catalogue: &Catalogue, facts: &Facts) -> Option<Arc<Card>> {
    let provider = facts.provider.as_deref().unwrap_or_default();
    let tier = facts.service_tier.as_deref().map(Tier::named).unwrap_or_default();
    let names = [facts.model.as_deref(), facts.requested_model.as_deref()];
    names.into_iter().flatten().find_map(|name| catalogue.card(provider, name, tier))
}

fn read_overrides(text: Option<&str>) -> Result<Arc<Overrides>, PriceError> {
    text.map(Overrides::parse).transpose().map(|read| Arc::new(read.unwrap_or_default()))
}

/// The built-in map, unpacked by whoever asks first.
fn bundled() -> Result<Arc<Table>, PriceError> {
    static TABLE: OnceLock<Arc<Table>> = OnceLock::new();
    if let Some(table) = TABLE.get() {
        return Ok(Arc::clone(table));
    }
    let mut json = Vec::new();
    let read = GzDecoder::new(BUNDLED).read_to_end(&mut json);
    read.map_err(|error| PriceError::Bundled(error.to_string()))?;
    let table = Table::parse(&json).map_err(|error| PriceError::Bundled(error.to_string()))?;
    Ok(Arc::clone(TABLE.get_or_init(|| Arc::new(table))))
}
