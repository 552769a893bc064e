//! The user's own prices.

use super::{facts, usage};
use crate::observe::event::{CostRow, Facts, Usage};
use crate::observe::price::Prices;

const FILE: &str = r#"
[[price]]
model = "gpt-4o"
input = 1
output = "2.5"

[[price]]
model = "azure/gpt-4o"
input = 3.0
output = 4

[[price]]
pattern = "^acme-[0-9]+b-"
unit = "token"
input = 1e-6
output = 2_0e-7
cache_read = "0.0000001"
reasoning = 0

[[price.tier]]
above = 1000
input = 2e-6

[[price.tier]]
service_tier = ["priority", "flex"]
input = 5e-6
output = 6e-6

[[price]]
pattern = "gpt"
fallback = true
input = 100
output = 100

[[price]]
model = "gpt-4"
provider = "corp"
input = 7
output = 7
"#;

fn cost(facts: &Facts) -> CostRow {
    Prices::bundled(Some(FILE)).unwrap().cost(facts).unwrap()
}

fn key_and_cost(provider: &str, model: &str, usage: Usage) -> (String, u64) {
    let row = cost(&facts(provider, model, usage));
    (row.matched_key.unwrap(), row.cost_pico.unwrap())
}

#[test]
fn own_prices_come_before_the_map() {
    let million = usage(1_000_000, 1_000_000);
    let is = |provider: &str, model: &str, key: &str, dollars: &str| {
        let (found, cost) = key_and_cost(provider, model, million);
        let cost = crate::observe::price::money::usd(cost);
        assert_eq!((found.as_str(), cost.as_str()), (key, dollars), "{provider} {model}");
    };
    is("openai", "gpt-4o", "override:gpt-4o", "3.5");
    is("azure", "gpt-4o", "override:azure/gpt-4o", "7");
    is("az.ai.openai", "gpt-4o", "override:azure/gpt-4o", "7");
    is("openai", "gpt-4", "gpt-4", "90");
    is("corp", "gpt-4", "override:gpt-4", "14");
    is("openai", "my-gpt", "override:gpt", "200");
}

#[test]
fn patterns_tiers_and_units_work() {
    let acme = |usage| cost(&facts("acme", "acme-70b-chat", usage));
    let row = acme(usage(1_000, 10));
    assert_eq!(row.matched_key.as_deref(), Some("override:^acme-[0-9]+b-"));
    assert_eq!((row.input_pico, row.output_pico), (Some(1_000_000_000), Some(20_000_000)));
    assert_eq!(row.tier, "");
    let row = acme(usage(1_001, 10));
    assert_eq!((row.input_pico, row.tier.as_str()), (Some(2_002_000_000), "above_1k"));
    assert_eq!(row.output_pico, Some(20_000_000), "the tier has no price of its own for it");
    let row = acme(Usage { cache_read: 10, reasoning: 99, ..Usage::default() });
    assert_eq!((row.input_pico, row.output_pico), (Some(1_000_000), Some(0)));
    let priority = Facts {
        service_tier: Some("priority".to_owned()),
        ..facts("acme", "acme-70b-chat", usage(1_000, 10))
    };
    let row = cost(&priority);
    assert_eq!((row.input_pico, row.output_pico), (Some(5_000_000_000), Some(60_000_000)));
    assert_eq!(row.tier, "priority");
    assert!(cost(&facts("acme", "acme-large", usage(1, 1))).cost_pico.is_none());
}

#[test]
fn mistakes_are_told_with_line_and_name() {
    let is = |text: &str, expected: &str| {
        assert_eq!(Prices::bundled(Some(text)).unwrap_err().to_string(), expected);
    };
    let head = "[[price]]\nmodel = \"acme\"\n";
    is(&format!("{head}input = -1\n"), "line 3: price of `acme`: `input` is no price: `-1`");
    is(&format!("{head}input = \"a\""), "line 3: price of `acme`: `input` is no price: `a`");
    is(&format!("{head}output = nan"), "line 3: price of `acme`: `output` is no price: `nan`");
    is(&format!("{head}output = true"), "line 3: price of `acme`: `output` is no price: `true`");
    is(head, "line 1: price of `acme`: it has no price");
    is(
        &format!("{head}input = 1\n[[price.tier]]\ninput = 2"),
        "line 4: price of `acme`: a tier needs `above` or `service_tier`",
    );
    is(
        &format!("{head}input = 1\n[[price.tier]]\nservice_tier = [\"x\"]\ninput = 2"),
        "line 4: price of `acme`: `x` is no service tier we know",
    );
    is("[[price]]\ninput = 1", "line 1: give either `model` or `pattern`");
    is(
        &format!("{head}input = 1\nfallback = true"),
        "line 1: price of `acme`: `fallback` goes with `pattern`",
    );
    let unknown = Prices::bundled(Some(&format!("{head}inputs = 1"))).unwrap_err().to_string();
    assert!(unknown.starts_with("line 3: unknown field `inputs`"), "{unknown}");
    let pattern = Prices::bundled(Some("[[price]]\npattern = \"(\"\ninput = 1"));
    let pattern = pattern.unwrap_err().to_string();
    assert!(pattern.starts_with("line 1: price of `(`: regex parse error"), "{pattern}");
}

#[test]
fn the_hash_and_the_cache_follow_the_file() {
    let prices = Prices::bundled(None).unwrap();
    let facts = facts("openai", "gpt-4o", usage(1_000_000, 0));
    let cost = || prices.cost(&facts).unwrap().cost_pico;
    assert_eq!(cost(), Some(2_500_000_000_000));
    let before = prices.hash();
    prices.override_with(Some(FILE)).unwrap();
    assert_eq!(cost(), Some(1_000_000_000_000));
    assert_ne!(prices.hash(), before);
    assert!(prices.override_with(Some("[[price]]")).is_err());
    assert_eq!(cost(), Some(1_000_000_000_000), "the prices in use stay");
    prices.override_with(None).unwrap();
    assert_eq!(cost(), Some(2_500_000_000_000));
    assert_eq!(prices.hash(), before);
}
