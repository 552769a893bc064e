//! Prices against the values of other programs, and what users may get wrong.

mod oracle;
mod overriding;
mod refreshing;

use super::{Precedence, Prices};
use crate::observe::event::{CostRow, Facts, Usage};

fn prices() -> Prices {
    Prices::bundled(None).unwrap()
}

fn facts(provider: &str, model: &str, usage: Usage) -> Facts {
    Facts {
        class: "generation".to_owned(),
        provider: (!provider.is_empty()).then(|| provider.to_owned()),
        model: Some(model.to_owned()),
        usage,
        ..Facts::default()
    }
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

fn row(provider: &str, model: &str, usage: Usage) -> CostRow {
    prices().cost(&facts(provider, model, usage)).unwrap()
}

fn key_of(provider: &str, model: &str) -> Option<String> {
    row(provider, model, usage(1, 1)).matched_key
}

#[test]
fn the_row_says_what_it_was_priced_with() {
    let row = row("openai", "gpt-4o", usage(1_000, 500));
    assert_eq!(row.cost_pico, Some(7_500_000_000));
    assert_eq!(row.input_pico, Some(2_500_000_000));
    assert_eq!(row.output_pico, Some(5_000_000_000));
    assert_eq!(row.matched_key.as_deref(), Some("gpt-4o"));
    assert_eq!((row.model.as_str(), row.provider.as_deref()), ("gpt-4o", Some("openai")));
    assert_eq!((row.tier.as_str(), row.stated), ("", false));
    assert_eq!(row.price_hash, prices().hash());
    assert_eq!(row.price_hash.len(), 12);
}

#[test]
fn tiers_are_named_only_where_their_prices_were_used() {
    let prices = prices();
    let tier = |provider: &str, model: &str, tier: &str, input: u64| {
        let service_tier = Some(tier.to_owned());
        let facts = Facts { service_tier, ..facts(provider, model, usage(input, 1)) };
        prices.cost(&facts).unwrap().tier
    };
    assert_eq!(tier("openai", "gpt-4o", "priority", 1), "priority");
    assert_eq!(tier("openai", "gpt-4o", "default", 1), "");
    assert_eq!(tier("openai", "gpt-4", "priority", 1), "", "it has no such price");
    assert_eq!(tier("gemini", "gemini-2.5-pro", "", 200_000), "");
    assert_eq!(tier("gemini", "gemini-2.5-pro", "", 200_001), "above_200k");
    assert_eq!(tier("gemini", "gemini-2.5-pro", "batch", 200_001), "batch+above_200k");
    assert_eq!(tier("dashscope", "qwen-flash", "", 256_001), "above_256k");
}

#[test]
fn an_unknown_model_has_no_cost_and_is_counted() {
    let prices = prices();
    let row = prices.cost(&facts("openai", "no-such-model", usage(1, 1))).unwrap();
    assert_eq!((row.cost_pico, row.input_pico, row.output_pico), (None, None, None));
    assert_eq!((row.matched_key, row.model.as_str()), (None, "no-such-model"));
    assert_eq!(prices.unknown(), 1);
    let known = prices.cost(&facts("openai", "gpt-4o", usage(1, 1))).unwrap();
    assert!(known.cost_pico.is_some());
    assert_eq!(prices.unknown(), 1);
    let again = prices.cost(&facts("openai", "no-such-model", usage(1, 1))).unwrap();
    assert_eq!(again.cost_pico, None, "also from the cache");
    assert_eq!(prices.unknown(), 2);
}

#[test]
fn tokens_without_a_price_are_not_free() {
    let embedding = row("mistral", "mistral-embed", usage(1_000, 0));
    assert_eq!(embedding.cost_pico, Some(100_000_000));
    let with_output = row("mistral", "mistral-embed", usage(1_000, 1));
    assert_eq!(with_output.cost_pico, None);
    let per_image = row("openai", "dall-e-3", usage(10, 0));
    assert_eq!(per_image.cost_pico, None);
}

#[test]
fn a_price_of_zero_is_a_price() {
    let free = row("gemini", "gemma-3-27b-it", usage(1, 1));
    assert_eq!(free.matched_key.as_deref(), Some("gemini/gemma-3-27b-it"));
    assert_eq!(free.cost_pico, Some(0));
    let own = "[[price]]\nmodel = \"free\"\ninput = 0\noutput = 0";
    let row = Prices::bundled(Some(own)).unwrap().cost(&facts("", "free", usage(9, 9))).unwrap();
    assert_eq!(row.cost_pico, Some(0));
}

#[test]
fn what_calls_no_model_has_no_row() {
    let prices = prices();
    let span = Facts { class: "span".to_owned(), ..Facts::default() };
    assert_eq!(prices.cost(&span), None);
    let agent = Facts { model: Some("gpt-4o".to_owned()), ..span.clone() };
    assert_eq!(prices.cost(&agent), None, "an agent's span that names a model");
    let nameless = Facts { class: "generation".to_owned(), ..Facts::default() };
    assert_eq!(prices.cost(&nameless), None);
    let tokens_only = Facts { usage: usage(5, 5), ..span };
    let row = prices.cost(&tokens_only).unwrap();
    assert_eq!((row.model.as_str(), row.cost_pico), ("", None));
    assert_eq!(prices.unknown(), 1);
}

#[test]
fn a_generation_that_counts_no_tokens_costs_an_unknown_amount() {
    let prices = prices();
    let row = prices.cost(&facts("openai", "gpt-4o", Usage::default())).unwrap();
    assert_eq!((row.cost_pico, row.matched_key.as_deref()), (None, Some("gpt-4o")));
    assert_eq!(prices.unknown(), 0, "the model is known");
}

#[test]
fn whose_cost_counts_is_a_setting() {
    let stated =
        |model| Facts { stated_cost_pico: Some(42), ..facts("openai", model, usage(1_000, 500)) };
    let ours = prices();
    let row = ours.cost(&stated("gpt-4o")).unwrap();
    assert_eq!((row.cost_pico, row.stated), (Some(7_500_000_000), false));
    let row = ours.cost(&stated("no-such-model")).unwrap();
    assert_eq!((row.cost_pico, row.stated, row.input_pico), (Some(42), true, None));
    assert_eq!(ours.unknown(), 0);

    let theirs = prices().with_precedence(Precedence::Stated);
    let row = theirs.cost(&stated("gpt-4o")).unwrap();
    assert_eq!((row.cost_pico, row.stated, row.input_pico), (Some(42), true, None));
    let row = theirs.cost(&facts("openai", "gpt-4o", usage(1_000, 500))).unwrap();
    assert_eq!((row.cost_pico, row.stated), (Some(7_500_000_000), false));
}

#[test]
fn names_are_looked_up_from_the_strictest_to_the_loosest() {
    let is = |provider: &str, model: &str, key: &str| {
        assert_eq!(key_of(provider, model).as_deref(), Some(key), "{provider} {model}");
    };
    is("azure", "gpt-4o", "azure/gpt-4o");
    is("az.ai.openai", "gpt-4o", "azure/gpt-4o");
    is("openai", "gpt-4o", "gpt-4o");
    is("", "gpt-4o", "gpt-4o");
    is("no-such-provider", "gpt-4o", "gpt-4o");
    is("openai", "GPT-4O", "gpt-4o");
    is("openai", "openai/gpt-4o", "gpt-4o");
    is("openai", "gpt-4o-2029-01-31", "gpt-4o");
    is("openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06");
    is("anthropic", "claude-sonnet-4-5-20290101", "claude-sonnet-4-5");
    is("gcp.gemini", "gemini-2.5-pro", "gemini/gemini-2.5-pro");
    is("google.generative-ai", "models/gemini-2.5-pro", "gemini/gemini-2.5-pro");
    is("gcp.vertex_ai", "gemini-2.5-pro", "gemini-2.5-pro");
    is("x_ai", "grok-4.5", "xai/grok-4.5");
    let regional = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    is("aws.bedrock", regional, regional);
    let unheard = "ca.anthropic.claude-sonnet-4-5-20250929-v1:0";
    is("aws.bedrock", unheard, "anthropic.claude-sonnet-4-5-20250929-v1:0");
    assert_eq!(key_of("openai", "gpt-4o-xyz"), None);
    assert_eq!(key_of("openai", ""), None);
    assert_eq!(key_of("openai", &"x".repeat(10_000)), None);
}

#[test]
fn the_asked_model_stands_in_for_an_unknown_answer() {
    let mut facts = facts("azure", "my-deployment", usage(1, 1));
    facts.requested_model = Some("gpt-4o".to_owned());
    let row = prices().cost(&facts).unwrap();
    assert_eq!(row.matched_key.as_deref(), Some("azure/gpt-4o"));
    assert_eq!(row.model, "my-deployment");
}

#[test]
fn the_parts_add_up_and_the_sum_is_rounded_once() {
    let own = "unit = \"token\"\n[[price]]\nmodel = \"m\"\ninput = 0.4e-12\noutput = 0.4e-12";
    let prices = Prices::bundled(Some(own)).unwrap();
    let row = prices.cost(&facts("", "m", usage(1, 1))).unwrap();
    assert_eq!((row.cost_pico, row.input_pico, row.output_pico), (Some(1), Some(0), Some(1)));
}

#[test]
fn absurd_counts_have_no_cost_instead_of_a_wrong_one() {
    let row = row("openai", "gpt-4o", usage(u64::MAX, u64::MAX));
    assert_eq!(row.cost_pico, None);
}

#[test]
fn a_known_model_costs_well_under_a_microsecond_to_price() {
    let prices = prices();
    let facts = facts("openai", "gpt-4o", usage(1_000, 500));
    let start = std::time::Instant::now();
    for _ in 0..10_000 {
        assert!(prices.cost(&facts).is_some());
    }
    let each = start.elapsed() / 10_000;
    assert!(each < std::time::Duration::from_micros(50), "{each:?}, a scan of the whole map?");
}

#[test]
fn the_map_is_small_in_memory() {
    let table = super::bundled().unwrap();
    assert_eq!(table.len(), 4_551);
    let bytes = table.bytes();
    assert!(bytes < 1_000_000, "{bytes} bytes");
}
