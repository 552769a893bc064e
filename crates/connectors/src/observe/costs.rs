//! What the models cost since the start, for the page and the metrics. The rows in the database
//! are the record; these are sums at a glance, for a bounded number of models.

use super::event::CostRow;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Models that are told apart; the sums of all others are under [`OTHERS`].
const MODELS_MAX: usize = 200;
/// The name of all models beyond the bound.
const OTHERS: &str = "(others)";

/// Sums by model.
#[derive(Debug, Default)]
pub(super) struct Costs(Mutex<BTreeMap<String, Sum>>);

/// The sums of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sum {
    /// Generations.
    pub(super) events: u64,
    /// Those without a known price.
    pub(super) unpriced: u64,
    /// Tokens read.
    pub(super) input_tokens: u64,
    /// Tokens written.
    pub(super) output_tokens: u64,
    /// In units of 10^-12 US dollars.
    pub(super) cost_pico: u64,
}

impl Costs {
    /// Counts a generation.
    pub(super) fn add(&self, row: &CostRow) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = sums.len() < MODELS_MAX;
        let sum = match sums.get_mut(row.model.as_str()) {
            Some(sum) => sum,
            None if is_room => sums.entry(row.model.clone()).or_default(),
            None => sums.entry(OTHERS.to_owned()).or_default(),
        };
        sum.events += 1;
        sum.unpriced += u64::from(row.cost_pico.is_none());
        sum.input_tokens = sum.input_tokens.saturating_add(row.usage.all_input());
        sum.output_tokens = sum.output_tokens.saturating_add(row.usage.all_output());
        sum.cost_pico = sum.cost_pico.saturating_add(row.cost_pico.unwrap_or_default());
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> BTreeMap<String, Sum> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Usage;

    #[test]
    fn models_beyond_the_bound_share_one_sum() {
        let costs = Costs::default();
        for number in 0..MODELS_MAX + 5 {
            let row = CostRow {
                provider: None,
                model: format!("model-{number}"),
                matched_key: None,
                price_hash: String::new(),
                tier: String::new(),
                usage: Usage { input: 3, output: 2, ..Usage::default() },
                cost_pico: (number % 2 == 0).then_some(7),
                input_pico: None,
                output_pico: None,
                stated: false,
            };
            costs.add(&row);
            costs.add(&row);
        }
        let all = costs.all();
        assert_eq!(all.len(), MODELS_MAX + 1);
        let first =
            Sum { events: 2, unpriced: 0, input_tokens: 6, output_tokens: 4, cost_pico: 14 };
        assert_eq!(all["model-0"], first);
        assert_eq!((all[OTHERS].events, all[OTHERS].unpriced), (10, 4));
    }
}
