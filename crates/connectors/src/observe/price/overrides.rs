//! The user's own prices, a TOML file over the map:
//!
//! ```toml
//! unit = "million"            # of tokens; or "token"
//!
//! [[price]]
//! model = "acme-7b"           # this name, or `provider/model`
//! input = "0.25"              # text or a number; it is read as decimal text either way
//! output = 1.25
//!
//! [[price]]
//! pattern = "^acme-[0-9]+b-"  # a regular expression that the model's name matches
//! provider = "acme"           # optional: only of this provider
//! fallback = true             # only where the map does not know the model
//! input = 0.5
//! output = 2
//!
//! [[price.tier]]
//! above = 200000              # tokens of the prompt
//! service_tier = ["priority"] # every tier where it is left out
//! input = 1
//! ```
//!
//! Prices: `input`, `cache_read`, `cache_write`, `cache_write_1h`, `audio_input`, `output`,
//! `reasoning`, `audio_output`. What is left out follows the rules of rate cards.

use super::PriceError;
use super::field::{Class, Field, Tier};
use super::money::{femto, femto_of_million};
use super::names::providers;
use super::table::Entry;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::collections::HashMap;
use toml::{Spanned, Value};

/// More prices than this in one file are refused.
const PRICES_MAX: usize = 10_000;
/// The most memory that a compiled pattern takes, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// How an entry of the user's is named in cost rows, before its name.
const MARK: &str = "override:";

/// The user's prices, compiled.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    source: String,
    prices: Vec<Price>,
    /// Which prices an exact name has, in the order of the file.
    exact: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
struct Price {
    key: String,
    /// Names of the provider; empty where any will do.
    providers: Vec<String>,
    pattern: Option<Regex>,
    is_fallback: bool,
    fields: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    unit: Unit,
    #[serde(default)]
    price: Vec<Spanned<PriceText>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// Prices are US dollars per million tokens, as vendors write them.
    #[default]
    Million,
    /// Prices are US dollars per token, as LiteLLM's map has them.
    Token,
}

type Number = Option<Spanned<Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceText {
    model: Option<String>,
    pattern: Option<String>,
    provider: Option<String>,
    unit: Option<Unit>,
    #[serde(default)]
    fallback: bool,
    #[serde(default)]
    tier: Vec<Spanned<TierText>>,
    input: Number,
    cache_read: Number,
    cache_write: Number,
    cache_write_1h: Number,
    audio_input: Number,
    output: Number,
    reasoning: Number,
    audio_output: Number,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierText {
    #[serde(default)]
    above: u32,
    #[serde(default)]
    service_tier: Vec<String>,
    input: Number,
    cache_read: Number,
    cache_write: Number,
    cache_write_1h: Number,
    audio_input: Number,
    output: Number,
    reasoning: Number,
    audio_output: Number,
}

/// The prices that both a model and its tiers have, with the names of the file.
macro_rules! numbers {
    ($of:expr) => {
        [
            ("input", Class::Input, &$of.input),
            ("cache_read", Class::CacheRead, &$of.cache_read),
            ("cache_write", Class::CacheWrite, &$of.cache_write),
            ("cache_write_1h", Class::CacheWrite1h, &$of.cache_write_1h),
            ("audio_input", Class::AudioInput, &$of.audio_input),
            ("output", Class::Output, &$of.output),
            ("reasoning", Class::Reasoning, &$of.reasoning),
            ("audio_output", Class::AudioOutput, &$of.audio_output),
        ]
    };
}

impl Overrides {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Names the line, the price and what is wrong with it.
    pub(super) fn parse(source: &str) -> Result<Self, PriceError> {
        let file: File = toml::from_str(source).map_err(|error| not_toml(source, &error))?;
        if file.price.len() > PRICES_MAX {
            let problem = format!("there are more than {PRICES_MAX} prices");
            return Err(PriceError::Override { line: 1, name: String::new(), problem });
        }
        let mut overrides = Self { source: source.to_owned(), ..Self::default() };
        for text in &file.price {
            overrides.add(source, file.unit, text)?;
        }
        Ok(overrides)
    }

    /// The file's text, for the hash.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The price of a model by its exact name, else by a pattern.
    pub(super) fn find(&self, providers: &[String], model: &str) -> Option<Entry<'_>> {
        let full = providers.iter().map(|provider| format!("{provider}/{model}"));
        let named = full.chain([model.to_owned()]).find_map(|name| {
            let prices = self.exact.get(&name)?.iter().map(|index| &self.prices[*index]);
            prices.into_iter().find(|price| price.is_of(providers))
        });
        named.or_else(|| self.matching(providers, model, false)).map(Price::entry)
    }

    /// The price of a model that nothing else knows.
    pub(super) fn find_fallback(&self, providers: &[String], model: &str) -> Option<Entry<'_>> {
        self.matching(providers, model, true).map(Price::entry)
    }

    fn matching(&self, providers: &[String], model: &str, is_fallback: bool) -> Option<&Price> {
        self.prices.iter().find(|price| {
            price.is_fallback == is_fallback
                && price.is_of(providers)
                && price.pattern.as_ref().is_some_and(|pattern| pattern.is_match(model))
        })
    }

    fn add(
        &mut self,
        source: &str,
        unit: Unit,
        text: &Spanned<PriceText>,
    ) -> Result<(), PriceError> {
        let line = line_of(source, text.span().start);
        let text = text.get_ref();
        let name = text.model.as_deref().or(text.pattern.as_deref()).unwrap_or_default();
        let context = Context { source, name, unit: text.unit.unwrap_or(unit) };
        let pattern = match (&text.model, &text.pattern) {
            (Some(_), None) if text.fallback => {
                return Err(context.error(line, "`fallback` goes with `pattern`"));
            }
            (Some(_), None) => None,
            (None, Some(pattern)) => {
                let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
                Some(built.map_err(|error| context.error(line, &error.to_string()))?)
            }
            _ => return Err(context.error(line, "give either `model` or `pattern`")),
        };
        let fields = context.fields(line, text)?;
        if pattern.is_none() {
            self.exact.entry(name.to_owned()).or_default().push(self.prices.len());
        }
        self.prices.push(Price {
            key: format!("{MARK}{name}"),
            providers: text.provider.as_deref().map(providers).unwrap_or_default(),
            pattern,
            is_fallback: text.fallback,
            fields,
        });
        Ok(())
    }
}

impl Price {
    fn is_of(&self, providers: &[String]) -> bool {
        self.providers.is_empty() || self.providers.iter().any(|own| providers.contains(own))
    }

    fn entry(&self) -> Entry<'_> {
        let provider = self.providers.first().map_or("", String::as_str);
        Entry { key: &self.key, provider, fields: &self.fields, ranges: &[], off_peak: None }
    }
}

/// Where in the file we are.
struct Context<'a> {
    source: &'a str,
    name: &'a str,
    unit: Unit,
}

impl Context<'_> {
    fn fields(&self, line: usize, text: &PriceText) -> Result<Vec<Field>, PriceError> {
        let mut fields = Vec::new();
        for (label, class, number) in numbers!(text) {
            if let Some(rate) = self.rate(label, number)? {
                fields.push(Field { rate, above: 0, class, tier: Tier::Standard });
            }
        }
        for tier in &text.tier {
            self.add_tier(tier, &mut fields)?;
        }
        if fields.is_empty() {
            return Err(self.error(line, "it has no price"));
        }
        Ok(fields)
    }

    fn add_tier(
        &self,
        text: &Spanned<TierText>,
        fields: &mut Vec<Field>,
    ) -> Result<(), PriceError> {
        let line = line_of(self.source, text.span().start);
        let text = text.get_ref();
        if text.above == 0 && text.service_tier.is_empty() {
            return Err(self.error(line, "a tier needs `above` or `service_tier`"));
        }
        let mut tiers = Vec::new();
        for name in &text.service_tier {
            let tier = Tier::known(name);
            let unknown = || self.error(line, &format!("`{name}` is no service tier we know"));
            tiers.push(tier.ok_or_else(unknown)?);
        }
        if tiers.is_empty() {
            tiers.push(Tier::Standard);
        }
        for (label, class, number) in numbers!(text) {
            let Some(rate) = self.rate(label, number)? else { continue };
            fields.extend(tiers.iter().map(|tier| Field {
                rate,
                above: text.above,
                class,
                tier: *tier,
            }));
        }
        Ok(())
    }

    /// The text of the file counts, not what a float makes of it.
    fn rate(&self, label: &str, number: &Number) -> Result<Option<u64>, PriceError> {
        let Some(number) = number else { return Ok(None) };
        let text = match number.get_ref() {
            Value::String(text) => text.clone(),
            _ => self.source.get(number.span()).unwrap_or_default().replace('_', ""),
        };
        let rate = match self.unit {
            Unit::Million => femto_of_million(&text),
            Unit::Token => femto(&text),
        };
        let line = line_of(self.source, number.span().start);
        let problem = || self.error(line, &format!("`{label}` is no price: `{text}`"));
        rate.ok_or_else(problem).map(Some)
    }

    fn error(&self, line: usize, problem: &str) -> PriceError {
        PriceError::Override { line, name: self.name.to_owned(), problem: problem.to_owned() }
    }
}

fn not_toml(source: &str, error: &toml::de::Error) -> PriceError {
    let line = error.span().map_or(1, |span| line_of(source, span.start));
    PriceError::Override { line, name: String::new(), problem: error.message().to_owned() }
}

fn line_of(source: &str, offset: usize) -> usize {
    let before = source.as_bytes().get(..offset).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
