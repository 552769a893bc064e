//! Costs that other programs computed.

use super::{facts, prices, usage};
use crate::observe::event::{CostRow, Facts, Usage};
use crate::observe::price::Prices;
use crate::observe::price::money::{pico, usd};

/// Written by `oracle.py`.
const LITELLM: &str = include_str!("../oracle.tsv");
/// LiteLLM counts in floats, which are off by less than this: 10^-12 dollars.
const DUST_PICO: u64 = 1;

struct Case<'a> {
    line: &'a str,
    key: &'a str,
    facts: Facts,
    input: u64,
    output: u64,
}

fn case(line: &str) -> Case<'_> {
    let columns: Vec<&str> = line.split('\t').collect();
    assert_eq!(columns.len(), 15, "{line}");
    let number = |column: usize| columns[column].parse::<u64>().unwrap();
    let usage = Usage {
        input: number(5),
        cache_read: number(6),
        cache_write: number(7),
        cache_write_1h: number(8),
        audio_input: number(9),
        output: number(10),
        reasoning: number(11),
        audio_output: number(12),
    };
    let facts = Facts {
        service_tier: (!columns[3].is_empty()).then(|| columns[3].to_owned()),
        end_ns: number(4) * 1_000_000_000,
        ..facts(columns[0], columns[1], usage)
    };
    let (input, output) = (pico(columns[13]).unwrap(), pico(columns[14]).unwrap());
    Case { line, key: columns[2], facts, input, output }
}

/// What is not as in the file.
fn difference(prices: &Prices, case: &Case<'_>) -> Option<String> {
    let row = prices.cost(&case.facts).unwrap();
    let is_near = |ours: Option<u64>, theirs: u64| {
        ours.is_some_and(|ours| ours.abs_diff(theirs) <= DUST_PICO)
    };
    let is_same = row.matched_key.as_deref() == Some(case.key)
        && is_near(row.input_pico, case.input)
        && is_near(row.output_pico, case.output)
        && is_near(row.cost_pico, case.input + case.output);
    (!is_same).then(|| {
        let CostRow { matched_key, input_pico, output_pico, tier, .. } = row;
        let [input, output] = [input_pico, output_pico].map(|part| part.map(usd));
        format!("{}\n  ours: {matched_key:?} {tier:?} {input:?} {output:?}", case.line)
    })
}

#[test]
fn costs_are_those_of_litellm() {
    let prices = prices();
    let lines: Vec<&str> = LITELLM.lines().skip(2).collect();
    assert!(lines.len() >= 1_500, "{} cases", lines.len());
    let cases = lines.iter().map(|line| case(line));
    let wrong: Vec<String> = cases.filter_map(|case| difference(&prices, &case)).collect();
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert_eq!(prices.unknown(), 0);
}

/// Dollars of input and output as recorded from LiteLLM, genai-prices and Phoenix, which agree.
#[test]
fn costs_are_those_of_three_programs() {
    let prices = prices();
    let is = |provider: &str, model: &str, tier: &str, usage: Usage, expected: (&str, &str)| {
        let service_tier = (!tier.is_empty()).then(|| tier.to_owned());
        let facts = Facts { service_tier, ..facts(provider, model, usage) };
        let row = prices.cost(&facts).unwrap();
        let parts = (usd(row.input_pico.unwrap()), usd(row.output_pico.unwrap()));
        assert_eq!((parts.0.as_str(), parts.1.as_str()), expected, "{provider} {model} {tier}");
    };
    is("openai", "gpt-4o", "", usage(1_000, 500), ("0.0025", "0.005"));
    is("openai", "gpt-4o", "", usage(100, 50), ("0.00025", "0.0005"));
    is("openai", "gpt-4o", "priority", usage(1_000, 500), ("0.00425", "0.0085"));
    let cached =
        Usage { input: 300, cache_read: 600, cache_write: 100, output: 500, ..Usage::default() };
    is("anthropic", "claude-sonnet-4-5", "", cached, ("0.001455", "0.0075"));
    is("gemini", "gemini-2.5-pro", "", usage(200_000, 1_000), ("0.25", "0.01"));
    is("gemini", "gemini-2.5-pro", "", usage(200_001, 1_000), ("0.5000025", "0.015"));
    let regional = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    is("bedrock", regional, "", usage(1_000, 500), ("0.0033", "0.00825"));
    is("dashscope", "qwen-flash", "", usage(256_000, 100), ("0.0128", "0.00004"));
    is("dashscope", "qwen-flash", "", usage(256_001, 100), ("0.06400025", "0.0002"));
}

/// Computed with `genai_prices.calc_price` of genai-prices 0.2.3, whose map is another one.
#[test]
fn costs_are_those_of_genai_prices() {
    let prices = prices();
    let is = |provider: &str, model: &str, usage: Usage, expected: &str| {
        let row = prices.cost(&facts(provider, model, usage)).unwrap();
        assert_eq!(row.cost_pico.map(usd).as_deref(), Some(expected), "{provider} {model}");
    };
    let cached = Usage { input: 12_000, cache_read: 345, output: 678, ..Usage::default() };
    is("google", "gemini-2.5-flash", usage(12_345, 678), "0.0053985");
    is("openai", "gpt-4o-mini", cached, "0.002232675");
    is("openai", "o3", cached, "0.0295965");
    is("openai", "gpt-5-mini", cached, "0.004364625");
    is("anthropic", "claude-haiku-4-5", usage(1_234, 678), "0.004624");
    is("x-ai", "grok-4.5", cached, "0.0281715");
}

/// Where LiteLLM's calculators answer something else, and why we do not follow.
#[test]
fn differences_from_litellm_are_known() {
    let prices = prices();
    let total = |facts: &Facts| prices.cost(facts).unwrap().cost_pico.map(usd);

    // LiteLLM's calculator for Perplexity bills cached tokens as input, 0.003; the map has a price
    // for them, a tenth.
    let cached = Usage { cache_read: 1_000, ..Usage::default() };
    let perplexity = facts("perplexity", "anthropic/claude-sonnet-4-5", cached);
    assert_eq!(total(&perplexity).as_deref(), Some("0.0003"));

    // LiteLLM's calculator for Fireworks takes no service tier, 0.00528; the map has prices for it.
    let priority = Some("priority".to_owned());
    let fireworks = facts("fireworks_ai", "deepseek-v4-pro-0813", usage(1_000, 1_000));
    let fireworks = Facts { service_tier: priority, ..fireworks };
    assert_eq!(total(&fireworks).as_deref(), Some("0.0066"));

    // LiteLLM's batch calculator halves what has no price for batches, here to 0.045.
    let batch = Some("batch".to_owned());
    let gpt_4 = Facts { service_tier: batch, ..facts("openai", "gpt-4", usage(1_000, 1_000)) };
    assert_eq!(total(&gpt_4).as_deref(), Some("0.09"));
}
