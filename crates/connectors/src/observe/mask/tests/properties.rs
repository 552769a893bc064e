//! What holds for all texts and documents.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn personal() -> impl Strategy<Value = String> {
    let values: Vec<&str> =
        PERSONAL.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    proptest::sample::select(values).prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        personal().prop_map(Value::from),
        personal()
            .prop_map(|value| Value::from(format!("{{\"k\": \"{}\"", value.escape_default()))),
        ("[a-z \\n\"\\\\]{0,12}", personal())
            .prop_map(|(text, value)| Value::from(format!("{text} {value} {text}"))),
        Just(Value::from(4_111_111_111_111_111_u64)),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec(("[a-z]{1,6}", inner.clone()), 0..5).prop_map(|members| {
                Value::from(members.into_iter().collect::<serde_json::Map<_, _>>())
            }),
            (personal(), inner.clone()).prop_map(|(key, value)| Value::from_iter([(key, value)])),
            // JSON in a string, as Langfuse's attributes are; nested no deeper than is walked.
            inner.prop_map(|value| match value {
                Value::Object(_) | Value::Array(_) if !value.to_string().contains("\\\\\\") => {
                    Value::from(value.to_string())
                }
                other => other,
            }),
        ]
    })
}

fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                texts(&inner, out);
            }
            out.push(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(members) => {
            for (key, value) in members {
                out.push(key.clone());
                texts(value, out);
            }
        }
        other => out.push(other.to_string()),
    }
}

thread_local! {
    static EVERY: Masks = all();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_masked_value_survives_and_json_stays_json(document in document()) {
        let body = document.to_string();
        let masked = EVERY.with(|all| json(all, &body)).unwrap_or(body);
        let masked: Value = serde_json::from_str(&masked).unwrap();
        let mut found = Vec::new();
        texts(&masked, &mut found);
        for (name, values) in PERSONAL {
            for value in values {
                let left = found.iter().find(|text| text.contains(value));
                prop_assert!(left.is_none(), "{name} {value} in {left:?}");
            }
        }
    }

    #[test]
    fn what_is_clean_is_unchanged(text in "[a-z \\n\"{}\\[\\]:,\\\\]{0,60}") {
        prop_assert_eq!(EVERY.with(|all| all.text("x", &text)), None);
        let body = serde_json::json!({ "a": text, "b": [text] }).to_string();
        prop_assert_eq!(EVERY.with(|all| json(all, &body)), None);
    }

    #[test]
    fn a_document_keeps_its_shape(document in document()) {
        let masked = EVERY.with(|all| json(all, &document.to_string()));
        if let Some(masked) = masked {
            let masked: Value = serde_json::from_str(&masked).unwrap();
            prop_assert_eq!(shape(&masked), shape(&document));
        }
    }

    #[test]
    fn no_text_and_no_bytes_make_it_panic(text in "\\PC{0,80}", bytes: Vec<u8>) {
        let drop = masks(&format!("{ALL}{DROP}"));
        let _ = drop.text("x", &text);
        let _ = drop.text("x", &format!("{{\"{text}"));
        let _ = drop.json(text.as_bytes());
        let _ = drop.json(&bytes);
    }
}

#[test]
fn a_map_in_the_place_of_an_id_is_masked() {
    let body = r#"{"id":{"jane@example.com":"jane@example.com"}}"#;
    let masked = EVERY.with(|all| json(all, body)).unwrap();
    assert!(!masked.contains("jane@"), "{masked}");
}

/// How many values there are at each level.
fn shape(value: &Value) -> Vec<usize> {
    let inner: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => return vec![0],
    };
    // Names of keys that change can change the order.
    let mut all: Vec<usize> = inner.iter().flat_map(|value| shape(value)).collect();
    all.sort_unstable();
    all.push(inner.len());
    all
}
