//! Tokens and costs as Langfuse reads them from attributes.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::money;
use super::super::spans::{Attributes, plain};

/// The spellings of the buckets that are subtracted from one another, below `gen_ai.usage.` and
/// `llm.token_count.`.
const INPUT: &[&str] = &["input_tokens", "prompt_tokens", "prompt", "input"];
const OUTPUT: &[&str] = &["output_tokens", "completion_tokens", "completion", "output"];
const TOTAL: &[&str] = &["total_tokens", "total"];
const CACHED: &[&str] = &[
    "cache_read.input_tokens",
    "cache_read_input_tokens",
    "cache_read_tokens",
    "details.cache_read_input_tokens",
    "details.cache_read_tokens",
    "prompt_details.cache_read",
];
const CREATION: &[&str] = &[
    "cache_creation.input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_tokens",
    "cache_write_tokens",
    "details.cache_creation_input_tokens",
    "details.cache_write_tokens",
    "prompt_details.cache_write",
];
const REASONING: &[&str] = &["reasoning.output_tokens", "completion_details.reasoning"];
const AUDIO: &[&str] = &["completion_details.audio"];

/// The usage details of a span as JSON, if it has any: those that are stated, word for word, or
/// the conventions' counts with the parts taken out of the sums.
pub(super) fn usage_details(attributes: &Attributes) -> Option<String> {
    if let Some(stated) = attributes.get("langfuse.observation.usage_details")
        && let Some(details) = numbers(&plain(stated))
    {
        return Some(details);
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let own = attributes.below("gen_ai.usage.").filter(|(name, _)| *name != "cost");
    for (name, value) in own.chain(attributes.below("llm.token_count.")) {
        let count = value.as_u64().or_else(|| plain(value).parse().ok());
        if let Some(count) = count {
            counts.entry(name).or_insert(count);
        }
    }
    if counts.is_empty() {
        return None;
    }
    let mut take = |names: &[&'static str]| {
        let found = names.iter().filter_map(|name| counts.remove(name));
        found.fold(None, |first: Option<u64>, next| first.or(Some(next)))
    };
    let [input, output, total] = [INPUT, OUTPUT, TOTAL].map(&mut take);
    let [cached, creation, reasoning, audio] = [CACHED, CREATION, REASONING, AUDIO].map(&mut take);
    let less = |count: u64, parts: [Option<u64>; 2]| {
        parts.into_iter().flatten().fold(count, u64::saturating_sub)
    };
    let named = [
        ("input", input.map(|count| less(count, [cached, creation]))),
        ("output", output.map(|count| less(count, [reasoning, audio]))),
        ("input_cached_tokens", cached),
        ("input_cache_creation", creation),
        ("output_reasoning_tokens", reasoning),
        ("output_audio_tokens", audio),
        ("total", total),
    ];
    let named = named.into_iter().filter_map(|(name, count)| Some((name, count?)));
    let all = counts.into_iter().chain(named);
    let all: Map<String, Value> = all.map(|(name, n)| (name.to_owned(), n.into())).collect();
    Some(Value::Object(all).to_string())
}

/// The cost details of a span as JSON, if it states any: word for word.
pub(super) fn cost_details(attributes: &Attributes) -> Option<String> {
    if let Some(stated) = attributes.get("langfuse.observation.cost_details")
        && let Some(details) = numbers(&plain(stated))
    {
        return Some(details);
    }
    let total = attributes.text(&["gen_ai.usage.cost", "llm.cost.total"])?;
    money::parse(&total)?;
    Some(format!("{{\"total\":{total}}}"))
}

/// A JSON object of numbers, each as it was written; what is null is left out. `None` for anything
/// else, and for no number at all.
pub(super) fn numbers(text: &str) -> Option<String> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    let mut written = String::from("{");
    for (name, value) in &fields {
        let value = value.get();
        if value == "null" {
            continue;
        }
        value.parse::<f64>().ok()?;
        if written.len() > 1 {
            written.push(',');
        }
        written.push_str(&Value::from(name.as_str()).to_string());
        written.push(':');
        written.push_str(value);
    }
    written.push('}');
    (written.len() > 2).then_some(written)
}

/// The total of cost details: as it is stated, else input and output where only these are stated.
pub(super) fn total_cost(details: &str) -> Option<String> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(details).ok()?;
    let read = |name: &str| fields.get(name).and_then(|value| money::parse(value.get()));
    if let Some(total) = read("total") {
        return Some(money::format(total));
    }
    let known = ["input", "output"];
    if fields.keys().any(|name| !known.contains(&name.as_str())) {
        return None;
    }
    let parts: Vec<i128> = known.into_iter().filter_map(read).collect();
    (!parts.is_empty()).then(|| money::format(parts.into_iter().sum()))
}
