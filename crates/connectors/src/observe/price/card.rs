//! Rate cards: what each class of tokens of one model costs in one service tier, by the length of
//! the prompt. A card is worked out once from an entry of the map; a cost is then a lookup of the
//! band and a sum of products.
//!
//! The rules are those of the map's own program, LiteLLM:
//! - A threshold looks at all tokens of the prompt, cached ones included. Above it every class
//!   moves, none is graduated; at it nothing does, except at xAI.
//! - A class without a price in the tier has its usual price. Cached tokens without a price cost
//!   what input costs, reasoning and audio what text costs. An explicit 0 is a price.
//! - The prices of batches stand for themselves: a batch's cached tokens without a price of their
//!   own cost what the batch's input costs, and thresholds are those of the batch's prices.

use super::field::{Class, Field, Tier};
use super::off_peak::OffPeak;
use super::table::Entry;
use crate::observe::event::Usage;

/// Providers whose thresholds include the number itself.
const INCLUSIVE: &str = "xai";
/// xAI counts reasoning as output and has no other price for it.
const PLAIN_OUTPUT: &str = "xai";
/// Fireworks asks half of the input's price for cached tokens where it names no other.
const HALF_FOR_CACHED: &str = "fireworks_ai";

/// Femto-dollars per token by class; `None` where there is no price.
type Rates = [Option<u64>; Class::COUNT];

/// What a model costs in one service tier.
#[derive(Clone, Debug)]
pub(super) struct Card {
    /// The entry's name.
    pub(super) key: String,
    /// By rising thresholds; empty for a model without prices of tokens.
    bands: Vec<Band>,
    off_peak: Option<OffPeak>,
}

#[derive(Clone, Debug)]
struct Band {
    /// The band begins above this many tokens; the first one begins at none.
    over: u64,
    rates: Rates,
    /// The rates while the vendor's cheap hours last.
    off_peak: Option<Rates>,
    tier: String,
}

/// The cost of one call in pico-dollars. The total is rounded once, and its parts add up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) total: u64,
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) tier: String,
}

impl Card {
    pub(super) fn new(entry: &Entry<'_>, tier: Tier) -> Self {
        let is_batch = tier == Tier::Batch && entry.fields.iter().any(|f| f.tier == Tier::Batch);
        let bands = if entry.fields.is_empty() && entry.ranges.is_empty() {
            Vec::new()
        } else if is_batch {
            bands_of_batches(entry)
        } else if entry.ranges.is_empty() {
            bands_by_threshold(entry, tier)
        } else {
            bands_by_range(entry)
        };
        Self { key: entry.key.to_owned(), bands, off_peak: entry.off_peak.cloned() }
    }

    /// The cost at a moment in nanoseconds since 1970. `None` where tokens have no price, and where
    /// the amount is beyond all reason, 18 million dollars.
    pub(super) fn cost(&self, usage: &Usage, at_ns: u64) -> Option<Cost> {
        let prompt = usage.all_input();
        let above = self.bands.iter().rposition(|band| prompt > band.over).unwrap_or(0);
        let band = self.bands.get(above)?;
        let cheap = self.off_peak.as_ref().filter(|off_peak| off_peak.is_open(at_ns));
        let cheap = cheap.and(band.off_peak.as_ref());
        let rates = cheap.unwrap_or(&band.rates);
        let input = sum(rates, &input_of(usage))?;
        let output = sum(rates, &output_of(usage))?;
        let total = super::money::to_pico(input.checked_add(output)?)?;
        let input = super::money::to_pico(input)?.min(total);
        let tier =
            if cheap.is_some() { label(&[&band.tier, "off_peak"]) } else { band.tier.clone() };
        Some(Cost { total, input, output: total - input, tier })
    }
}

const fn input_of(usage: &Usage) -> [(Class, u64); 5] {
    [
        (Class::Input, usage.input),
        (Class::CacheRead, usage.cache_read),
        (Class::CacheWrite, usage.cache_write),
        (Class::CacheWrite1h, usage.cache_write_1h),
        (Class::AudioInput, usage.audio_input),
    ]
}

const fn output_of(usage: &Usage) -> [(Class, u64); 3] {
    [
        (Class::Output, usage.output),
        (Class::Reasoning, usage.reasoning),
        (Class::AudioOutput, usage.audio_output),
    ]
}

/// Exact, in femto-dollars. `None` where a token has no price: what is unknown is not free.
fn sum(rates: &Rates, tokens: &[(Class, u64)]) -> Option<u128> {
    let used = tokens.iter().filter(|(_, tokens)| *tokens > 0);
    used.map(|(class, tokens)| {
        rates[*class as usize].map(|rate| u128::from(*tokens) * u128::from(rate))
    })
    .try_fold(0u128, |sum, cost| sum.checked_add(cost?))
}

/// The prices of an entry before anything stands in for what is missing.
struct Prices<'a> {
    entry: &'a Entry<'a>,
    tier: Tier,
}

impl Prices<'_> {
    fn get(&self, class: Class, above: u32, tier: Tier) -> Option<u64> {
        let is_it = |f: &&Field| f.class == class && f.above == above && f.tier == tier;
        self.entry.fields.iter().find(is_it).map(|field| field.rate)
    }

    /// The thresholds of this tier and the standard one, rising.
    fn thresholds(&self, tiers: &[Tier]) -> Vec<u32> {
        let with_threshold = self.entry.fields.iter().filter(|f| f.above > 0);
        let mut list: Vec<u32> =
            with_threshold.filter(|f| tiers.contains(&f.tier)).map(|f| f.above).collect();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// Where a band above the threshold begins.
    fn over(&self, threshold: u32) -> u64 {
        let inclusive = u64::from(self.entry.provider == INCLUSIVE);
        u64::from(threshold).saturating_sub(inclusive)
    }

    /// The rates below all thresholds, and whether the tier has one of its own among them.
    fn base(&self) -> (Rates, bool) {
        let of_tier = |class| match self.tier {
            Tier::Standard => None,
            tier => self.get(class, 0, tier),
        };
        let usual = |class| self.get(class, 0, Tier::Standard);
        let mut rates: Rates = [None; Class::COUNT];
        let mut has_tier = false;
        for (class, rate) in CLASSES.into_iter().zip(&mut rates) {
            let own = of_tier(class);
            has_tier |= own.is_some();
            *rate = own.or_else(|| usual(class));
        }
        if of_tier(Class::Reasoning).is_none() && of_tier(Class::Output).is_some() {
            rates[Class::Reasoning as usize] = None;
        }
        if self.entry.provider == PLAIN_OUTPUT {
            rates[Class::Reasoning as usize] = None;
            rates[Class::AudioOutput as usize] = None;
        }
        if self.entry.provider == HALF_FOR_CACHED {
            let half = usual(Class::Input).map(|input| input / 2);
            let read = &mut rates[Class::CacheRead as usize];
            *read = read.or(half);
        }
        if rates[Class::Output as usize].is_none_or(|rate| rate == 0) {
            let image = rates[Class::ImageOutput as usize];
            let output = &mut rates[Class::Output as usize];
            *output = image.or(*output);
        }
        (rates, has_tier)
    }
}

const CLASSES: [Class; Class::COUNT] = [
    Class::Input,
    Class::CacheRead,
    Class::CacheWrite,
    Class::CacheWrite1h,
    Class::AudioInput,
    Class::Output,
    Class::Reasoning,
    Class::AudioOutput,
    Class::ImageOutput,
];

fn bands_by_threshold(entry: &Entry<'_>, tier: Tier) -> Vec<Band> {
    let prices = Prices { entry, tier };
    let (mut rates, has_tier) = prices.base();
    let own_name = |has_tier: bool| if has_tier { tier.label() } else { "" };
    let mut bands = vec![band(entry, 0, rates, own_name(has_tier).to_owned())];
    for threshold in prices.thresholds(&[Tier::Standard, tier]) {
        let own = |class| match tier {
            Tier::Standard => None,
            tier => prices.get(class, threshold, tier),
        };
        let mut has_tier_here = has_tier;
        for class in Class::WITH_THRESHOLDS.into_iter().chain([Class::CacheWrite1h]) {
            let here = own(class);
            has_tier_here |= here.is_some();
            let here = here.or_else(|| prices.get(class, threshold, Tier::Standard));
            let rate = &mut rates[class as usize];
            *rate = here.or(*rate);
        }
        let name = label(&[own_name(has_tier_here), &above(threshold)]);
        bands.push(band(entry, prices.over(threshold), rates, name));
    }
    bands
}

/// Input and output without a price for batches have the usual one.
fn bands_of_batches(entry: &Entry<'_>) -> Vec<Band> {
    let prices = Prices { entry, tier: Tier::Batch };
    let mut rates: Rates = CLASSES.map(|class| prices.get(class, 0, Tier::Batch));
    for class in [Class::Input, Class::Output] {
        let rate = &mut rates[class as usize];
        *rate = rate.or_else(|| prices.get(class, 0, Tier::Standard));
    }
    let mut bands = vec![band(entry, 0, rates, Tier::Batch.label().to_owned())];
    for threshold in prices.thresholds(&[Tier::Batch]) {
        for class in CLASSES {
            let rate = &mut rates[class as usize];
            *rate = prices.get(class, threshold, Tier::Batch).or(*rate);
        }
        let name = label(&[Tier::Batch.label(), &above(threshold)]);
        bands.push(band(entry, prices.over(threshold), rates, name));
    }
    bands
}

/// Prices that are written as a list of ranges; they know no service tiers.
fn bands_by_range(entry: &Entry<'_>) -> Vec<Band> {
    let (usual, _) = Prices { entry, tier: Tier::Standard }.base();
    let mut bands = Vec::with_capacity(entry.ranges.len() + 1);
    for range in entry.ranges {
        let get = |class| range.fields.iter().find(|f| f.class == class).map(|f| f.rate);
        let rates = match get(Class::Input) {
            Some(_) => of_range(&usual, get),
            None => usual,
        };
        let name = if range.start == 0 { String::new() } else { above(range.start) };
        bands.push(band(entry, u64::from(range.start), rates, name));
    }
    bands
}

fn of_range(usual: &Rates, get: impl Fn(Class) -> Option<u64>) -> Rates {
    let mut rates = *usual;
    for class in [Class::Input, Class::CacheRead, Class::CacheWrite, Class::CacheWrite1h] {
        rates[class as usize] = get(class);
    }
    if let Some(output) = get(Class::Output) {
        rates[Class::Output as usize] = Some(output);
        rates[Class::Reasoning as usize] = None;
    }
    let reasoning = &mut rates[Class::Reasoning as usize];
    *reasoning = get(Class::Reasoning).or(*reasoning);
    rates
}

fn band(entry: &Entry<'_>, over: u64, rates: Rates, tier: String) -> Band {
    let off_peak = entry.off_peak.map(|off_peak| {
        let mut rates = rates;
        for field in &off_peak.fields {
            rates[field.class as usize] = Some(field.rate);
        }
        filled(rates)
    });
    Band { over, rates: filled(rates), off_peak, tier }
}

/// Lets other prices stand in for those that are missing.
fn filled(mut rates: Rates) -> Rates {
    const STAND_INS: [(Class, Class); 6] = [
        (Class::CacheRead, Class::Input),
        (Class::CacheWrite, Class::Input),
        (Class::CacheWrite1h, Class::CacheWrite),
        (Class::AudioInput, Class::Input),
        (Class::Reasoning, Class::Output),
        (Class::AudioOutput, Class::Output),
    ];
    for (class, stand_in) in STAND_INS {
        rates[class as usize] = rates[class as usize].or(rates[stand_in as usize]);
    }
    rates
}

fn above(threshold: u32) -> String {
    match threshold % 1_000 {
        0 => format!("above_{}k", threshold / 1_000),
        _ => format!("above_{threshold}"),
    }
}

/// `priority+above_200k`.
fn label(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join("+")
}
