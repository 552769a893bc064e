//! What the gateway adds to a span before it is stored: its cost, what policies said, and what it
//! stands for. The trace shows the same figures as the row in the database, since both come from
//! one computation.

use super::event::CostRow;
use super::otlp::rewrite::{Added, add_to_span};
use super::otlp::span::{Attributes, field};
use super::otlp::wire::{Reader, put_bytes};
use super::price::money::usd as dollars;

/// Langfuse's own attribute, OpenTelemetry's by custom, and OpenInference's.
const COST_DETAILS: &str = "langfuse.observation.cost_details";
const COST: &str = "gen_ai.usage.cost";
const COST_TOTAL: &str = "llm.cost.total";
/// Where Langfuse shows what policies said.
const POLICIES: &str = "langfuse.observation.metadata.policies";
/// How many of its like a sampled span stands for.
const WEIGHT: &str = "windlass.sampling.weight";

/// Adds our cost, in the place of what the client stated. Langfuse takes such details as they are
/// and then computes nothing itself.
pub(super) fn cost(span: &mut Vec<u8>, cost: &CostRow, is_stated: bool) {
    let Some(total) = cost.cost_pico.filter(|_| !cost.stated) else { return };
    if is_stated {
        *span = without_attributes(span, &[COST_DETAILS, COST, COST_TOTAL]);
    }
    let part = |pico: Option<u64>| dollars(pico.unwrap_or_default());
    let (input, output) = (part(cost.input_pico), part(cost.output_pico));
    let total_text = dollars(total);
    let details = format!("{{\"input\":{input},\"output\":{output},\"total\":{total_text}}}");
    let total = total as f64 / 1e12;
    add_to_span(span, COST_DETAILS, Added::Text(&details));
    add_to_span(span, COST, Added::Double(total));
    add_to_span(span, COST_TOTAL, Added::Double(total));
}

/// Adds the names of the policies that flagged it.
pub(super) fn flags(span: &mut Vec<u8>, names: &[String]) {
    if !names.is_empty() {
        add_to_span(span, POLICIES, Added::Text(&names.join(",")));
    }
}

/// Adds what a sampled span stands for, times 1,000.
pub(super) fn weight(span: &mut Vec<u8>, weight_milli: u64) {
    if weight_milli != 1000 {
        add_to_span(span, WEIGHT, Added::Double(weight_milli as f64 / 1e3));
    }
}

/// The span without the attributes of these keys; everything else is there byte by byte.
fn without_attributes(span: &[u8], keys: &[&str]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(span.len() + 128);
    for part in Reader::new(span).map_while(Result::ok) {
        let is_named = part.number == field::ATTRIBUTES
            && part.value.bytes().is_ok_and(|entry| {
                let mut alone = Vec::with_capacity(entry.len() + 8);
                put_bytes(&mut alone, field::ATTRIBUTES, entry);
                let key = Attributes::new(&alone, field::ATTRIBUTES).next();
                key.is_some_and(|(key, _)| keys.contains(&key))
            });
        if !is_named {
            kept.extend_from_slice(part.raw);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Usage;
    use crate::observe::otlp::span::{AnyValue, SpanView};

    fn span() -> Vec<u8> {
        let mut span = Vec::new();
        put_bytes(&mut span, field::TRACE_ID, &[1; 16]);
        put_bytes(&mut span, field::SPAN_ID, &[2; 8]);
        add_to_span(&mut span, COST, Added::Double(9.0));
        add_to_span(&mut span, "kept", Added::Text("yes"));
        put_bytes(&mut span, 200, b"a field that nobody knows");
        span
    }

    fn row(cost_pico: Option<u64>, stated: bool) -> CostRow {
        CostRow {
            provider: None,
            model: "gpt-4o".to_owned(),
            matched_key: None,
            price_hash: String::new(),
            tier: String::new(),
            usage: Usage::default(),
            cost_pico,
            input_pico: Some(2_500_000_000),
            output_pico: Some(5_000_000_000),
            stated,
        }
    }

    #[test]
    fn our_cost_replaces_a_stated_one_and_nothing_else() {
        let mut span = span();
        cost(&mut span, &row(Some(7_500_000_000), false), true);
        let view = SpanView::parse(&span).unwrap();
        let attributes: Vec<_> = view.attributes().collect();
        assert_eq!(
            attributes,
            [
                ("kept", AnyValue::Text("yes")),
                (COST_DETAILS, AnyValue::Text(r#"{"input":0.0025,"output":0.005,"total":0.0075}"#)),
                (COST, AnyValue::Double(0.0075)),
                (COST_TOTAL, AnyValue::Double(0.0075)),
            ]
        );
        let unknown = b"a field that nobody knows";
        assert!(span.windows(unknown.len()).any(|part| part == unknown));
    }

    #[test]
    fn without_a_cost_of_ours_a_span_stays_as_it_is() {
        for row in [row(None, false), row(Some(1), true)] {
            let mut changed = span();
            cost(&mut changed, &row, true);
            assert_eq!(changed, span());
        }
    }

    #[test]
    fn flags_and_weights_are_attributes() {
        let mut span = span();
        flags(&mut span, &["a".to_owned(), "b".to_owned()]);
        weight(&mut span, 1000);
        weight(&mut span, 10_000);
        let view = SpanView::parse(&span).unwrap();
        let last: Vec<_> = view.attributes().skip(2).collect();
        assert_eq!(last, [(POLICIES, AnyValue::Text("a,b")), (WEIGHT, AnyValue::Double(10.0))]);
    }
}
