//! New price maps while the program runs.

use super::{facts, prices, usage};
use crate::observe::price::BUNDLED;
use flate2::read::GzDecoder;
use std::io::Read;

/// The built-in map as a file would have it, with another price of one model.
fn map(model: &str, price: &str) -> Vec<u8> {
    let mut text = String::new();
    GzDecoder::new(BUNDLED).read_to_string(&mut text).unwrap();
    let end = text.rfind('}').unwrap();
    text.insert_str(end, &format!(r#","{model}":{{"input_cost_per_token":{price}}}"#));
    text.into_bytes()
}

#[test]
fn a_new_map_replaces_the_old_one() {
    let prices = prices();
    let new_model = facts("", "brand-new", usage(1_000, 0));
    assert_eq!(prices.cost(&new_model).unwrap().cost_pico, None);
    let before = prices.hash();
    let refreshed = prices.refresh(&map("brand-new", "1e-6")).unwrap();
    assert_eq!((refreshed.models_before, refreshed.models), (4_551, 4_552));
    assert!(refreshed.is_changed);
    assert_eq!(refreshed.hash, prices.hash());
    assert_ne!(refreshed.hash, before);
    let row = prices.cost(&new_model).unwrap();
    assert_eq!((row.cost_pico, row.price_hash), (Some(1_000_000_000), refreshed.hash));
    let again = prices.refresh(&map("brand-new", "0.000001")).unwrap();
    assert!(!again.is_changed, "the same price in another spelling");
}

#[test]
fn a_map_that_cannot_be_right_is_refused() {
    let prices = prices();
    let before = prices.hash();
    let is = |json: &[u8], reason: &str| {
        let error = prices.refresh(json).unwrap_err().to_string();
        assert!(error.starts_with("the new price map is refused: "), "{error}");
        assert!(error.contains(reason), "{error}");
    };
    is(b"<html>", "expected value");
    is(b"[]", "expected an object of models");
    is(b"{}", "it has no models");
    is(br#"{"gpt-4o": {"input_cost_per_token": 1}}"#, "only 1 models, the built-in one has 4551");
    let others: Vec<String> = (0..4_000).map(|n| format!(r#""m{n}":{{}}"#)).collect();
    is(format!("{{{}}}", others.join(",")).as_bytes(), "it has prices for none of gpt-4o");
    let full = map("x", "1");
    is(&full[..full.len() / 2], "EOF");
    assert_eq!(prices.hash(), before);
}

#[test]
fn costs_are_worked_out_while_maps_are_replaced() {
    let prices = prices();
    let maps = [map("gpt-4o", "1e-6"), map("gpt-4o", "3e-6")];
    let facts = facts("openai", "gpt-4o", usage(1_000, 0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let costs = (0..20_000).map(|_| prices.cost(&facts).unwrap().cost_pico.unwrap());
            costs.collect::<std::collections::BTreeSet<u64>>()
        });
        for map in maps.iter().chain(&maps) {
            prices.refresh(map).unwrap();
        }
        let allowed = [1_000_000_000, 2_500_000_000, 3_000_000_000];
        assert!(reader.join().unwrap().iter().all(|cost| allowed.contains(cost)));
    });
    assert_eq!(prices.cost(&facts).unwrap().cost_pico, Some(3_000_000_000));
}
