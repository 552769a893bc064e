//! Flags as flagd's documentation and its own tests have them.

mod documented;
mod rules;

use super::{Context, Evaluation, Fault, FlagError, Flags, Reason};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A flag with four colours and these rules.
fn colours(targeting: Value) -> Flags {
    let file = json!({"flags": {"headerColor": {
        "state": "ENABLED",
        "variants": {
            "red": "#FF0000", "blue": "#0000FF", "green": "#00FF00", "yellow": "#FFFF00",
        },
        "defaultVariant": "red",
        "targeting": targeting,
    }}});
    Flags::parse(&file.to_string()).unwrap()
}

fn context() -> Context {
    Context::new(1_743_500_000)
}

/// The variant and the reason.
fn colour(flags: &Flags, context: &Context) -> (Option<String>, Reason) {
    let found = flags.text("headerColor", context, "none");
    (found.variant.map(str::to_owned), found.reason)
}

fn flag(text: &str) -> Flags {
    Flags::parse(&format!(r#"{{"flags": {{"f": {text}}}}}"#)).unwrap()
}

#[test]
fn values_have_their_type() {
    let flags = flag(r#"{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}"#);
    let found = flags.bool("f", &context(), false);
    assert_eq!(found, Evaluation { value: true, variant: Some("on"), reason: Reason::Static });
    let wrong = flags.text("f", &context(), "mine");
    let fault = Reason::Error(Fault::TypeMismatch);
    assert_eq!(wrong, Evaluation { value: "mine", variant: None, reason: fault });

    let flags = flag(r#"{"state": "ENABLED", "variants": {"a": 0.25}, "defaultVariant": "a"}"#);
    assert!((flags.number("f", &context(), 1.0).value - 0.25).abs() < f64::EPSILON);
    let flags = flag(r#"{"state": "ENABLED", "variants": {"a": "x"}, "defaultVariant": "a"}"#);
    assert_eq!(flags.text("f", &context(), "y").value, "x");
}

#[test]
fn the_callers_value_stands_in() {
    let of = |text: &str| {
        let flags = flag(text);
        let found = flags.bool("f", &context(), true);
        assert!(found.variant.is_none());
        (found.value, found.reason)
    };
    let off = r#""variants": {"off": false}"#;
    assert_eq!(
        of(&format!(r#"{{"state": "DISABLED", {off}, "defaultVariant": "off"}}"#)),
        (true, Reason::Disabled)
    );
    assert_eq!(of(&format!(r#"{{"state": "ENABLED", {off}}}"#)), (true, Reason::Default));
    assert_eq!(
        of(&format!(r#"{{"state": "ENABLED", {off}, "defaultVariant": null}}"#)),
        (true, Reason::Default)
    );
    assert_eq!(
        of(&format!(r#"{{"state": "ENABLED", {off}, "targeting": {{"var": "no"}}}}"#)),
        (true, Reason::Default)
    );
    assert_eq!(
        of(&format!(
            r#"{{"state": "ENABLED", {off}, "defaultVariant": "off", "targeting": "on"}}"#
        )),
        (true, Reason::Error(Fault::NoSuchVariant))
    );
    let missing = Flags::default().bool("f", &context(), true).reason;
    assert_eq!(missing, Reason::Error(Fault::FlagNotFound));
}

#[test]
fn rules_may_answer_true_or_false() {
    let flags = flag(
        r#"{"state": "ENABLED", "variants": {"true": true, "false": false},
            "defaultVariant": "false", "targeting": {"==": [{"var": "tier"}, "gold"]}}"#,
    );
    let on = flags.bool("f", &context().with("tier", "gold"), false);
    let reason = Reason::TargetingMatch;
    assert_eq!(on, Evaluation { value: true, variant: Some("true"), reason });
    let off = flags.bool("f", &context().with("tier", "lead"), true);
    assert_eq!(off, Evaluation { value: false, variant: Some("false"), reason });
}

#[test]
fn empty_rules_are_no_rules() {
    for targeting in [json!({}), Value::Null] {
        let found = colour(&colours(targeting), &context());
        assert_eq!(found, (Some("red".to_owned()), Reason::Static));
    }
}

#[test]
fn flags_may_be_a_list() {
    let file = r#"{"flags": [{"key": "a", "state": "ENABLED", "variants": {"x": 1},
        "defaultVariant": "x"}], "metadata": {"flagSetId": "mine"}}"#;
    let flags = Flags::parse(file).unwrap();
    assert_eq!(flags.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!((flags.len(), flags.is_empty()), (1, false));
}

#[test]
fn shared_rules_are_put_in() {
    let file = r#"{
        "$evaluators": {
            "isInternal": {"ends_with": [{"var": "email"}, {"$ref": "domain"}]},
            "domain": {"cat": ["@", "example.com"]}
        },
        "flags": {"headerColor": {
            "state": "ENABLED", "variants": {"red": "r", "blue": "b"}, "defaultVariant": "red",
            "targeting": {"if": [{"$ref": "isInternal"}, "blue", null]}
        }}
    }"#;
    let flags = Flags::parse(file).unwrap();
    let inside = context().with("email", "me@example.com");
    assert_eq!(colour(&flags, &inside), (Some("blue".to_owned()), Reason::TargetingMatch));
    let outside = context().with("email", "me@example.org");
    assert_eq!(colour(&flags, &outside), (Some("red".to_owned()), Reason::Default));
}

#[test]
fn mistakes_are_told_with_the_flags_key() {
    let is = |text: &str, expected: &str| {
        let error = Flags::parse(&format!(r#"{{"flags": {{"f": {text}}}}}"#)).unwrap_err();
        assert_eq!(error.to_string(), format!("flag `f`: {expected}"));
    };
    is(r#"{"state": "ON", "variants": {"a": 1}}"#, "its state is `ON`, not ENABLED or DISABLED");
    is(r#"{"state": "ENABLED", "variants": {}}"#, "it has no variants");
    is(
        r#"{"state": "ENABLED", "variants": {"a": 1, "b": "1"}}"#,
        "its variants are of different types",
    );
    is(
        r#"{"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "b"}"#,
        "its default variant `b` is none of its variants",
    );
    is(
        r#"{"state": "ENABLED", "variants": {"a": 1}, "targeting": {"iff": [1, 2]}}"#,
        "there is no operator `iff`",
    );
    is(
        r#"{"state": "ENABLED", "variants": {"a": 1}, "targeting": {"$ref": "x"}}"#,
        "there is no shared rule \"x\"",
    );
    assert!(matches!(Flags::parse("{"), Err(FlagError::Json(_))));
    assert!(matches!(Flags::parse(r#"{"flags": 7}"#), Err(FlagError::Json(_))));
}

#[test]
fn rules_that_refer_to_themselves_or_grow_without_end_are_refused() {
    let file = r#"{"$evaluators": {"a": {"!": {"$ref": "a"}}}, "flags": {"f": {
        "state": "ENABLED", "variants": {"x": 1}, "targeting": {"$ref": "a"}}}}"#;
    let error = Flags::parse(file).unwrap_err().to_string();
    assert!(error.contains("deeper than 64"), "{error}");

    let twice = |n: usize| json!({"and": [{"$ref": format!("r{n}")}, {"$ref": format!("r{n}")}]});
    let mut shared: serde_json::Map<String, Value> =
        (0..30).map(|n| (format!("r{n}"), twice(n + 1))).collect();
    shared.insert("r30".to_owned(), json!(true));
    let file = json!({"$evaluators": shared, "flags": {"f": {
        "state": "ENABLED", "variants": {"x": 1}, "targeting": {"$ref": "r0"}}}});
    let error = Flags::parse(&file.to_string()).unwrap_err().to_string();
    assert!(error.contains("more than 200000 parts"), "{error}");
}

#[test]
fn rules_that_take_too_long_end() {
    let ones = Value::Array(vec![json!(1); 1_000]);
    let both = json!([{"var": "accumulator"}, {"var": "accumulator"}]);
    for rule in [
        json!({"map": [ones, {"map": [ones, {"map": [ones, "red"]}]}]}),
        json!({"reduce": [ones, both, "red"]}),
    ] {
        let found = colour(&colours(rule), &context());
        assert_eq!(found, (None, Reason::Error(Fault::TooMuchWork)));
    }
}

/// How many of 100,000 keys get each colour.
fn shares(targeting: Value) -> [usize; 4] {
    let flags = colours(targeting);
    let mut counts = [0; 4];
    for n in 0..100_000 {
        let (variant, reason) = colour(&flags, &context().with_targeting_key(format!("user-{n}")));
        assert_eq!(reason, Reason::TargetingMatch);
        let names = ["red", "blue", "green", "yellow"];
        counts[names.iter().position(|name| variant.as_deref() == Some(name)).unwrap()] += 1;
    }
    counts
}

#[test]
fn shares_are_as_the_weights() {
    let near = |count: usize, expected: usize| {
        // Four standard deviations of a share of 100,000 are under 640.
        assert!(count.abs_diff(expected) < 640, "{count} instead of {expected}");
    };
    let even = shares(json!({"fractional": [["red"], ["blue"], ["green"], ["yellow"]]}));
    even.into_iter().for_each(|count| near(count, 25_000));
    let uneven = shares(json!({"fractional": [["red", 500], ["blue", 300], ["green", 199],
        ["yellow", 1]]}));
    near(uneven[0], 50_000);
    near(uneven[1], 30_000);
    near(uneven[2], 19_900);
    assert!((60..150).contains(&uneven[3]), "{uneven:?}");
}

proptest! {
    #[test]
    fn a_rollout_that_grows_keeps_whom_it_has(key in "[a-z0-9]{1,20}", from in 0u32..100) {
        let rule = |on: u32| json!({"fractional": [["blue", on], ["red", 100 - on]]});
        let asks = context().with_targeting_key(key);
        let is_in = |on: u32| colour(&colours(rule(on)), &asks).0.as_deref() == Some("blue");
        prop_assert!(!is_in(from) || is_in(from + 1));
    }

    #[test]
    fn no_file_panics(text in "[\\[\\]{}\":,a-z0-9$]{0,60}") {
        let _ = Flags::parse(&text);
    }
}
