//! What a span says, whatever conventions its client keeps: one pass over its attributes.

use super::attributes::{KINDS, Rule, Says, metadata_key, rules};
use super::cost::{CostDetails, pico_of_double, pico_of_text};
use super::provider::provider;
use super::usage::{Counts, Includes, UsageDetails, whole};
use crate::observe::event::{Facts, Usage};
use crate::observe::otlp::span::{AnyValue, Attributes, STATUS_ERROR, SpanView};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The longest value of metadata that is kept, in bytes: policies compare short ones.
pub const METADATA_BYTES: usize = 1_024;
/// How many keys of metadata are kept.
pub const METADATA_KEYS: usize = 64;

/// What all spans of a resource have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceFacts {
    environment: Option<(u8, String)>,
}

impl ResourceFacts {
    /// Reads the message `Resource`.
    #[must_use]
    pub fn of(resource: &[u8]) -> Self {
        let mut picked = Picked::default();
        let mut attributes = Attributes::of_resource(resource);
        while let Some((key, value)) = attributes.next_unread() {
            picked.offer(key, value);
        }
        let environment = picked.entry(Says::Environment);
        let environment = environment
            .and_then(|(rank, value)| Some((rank, normal_environment(&text_of(value)?))));
        Self { environment }
    }
}

/// The facts of a span.
#[must_use]
pub fn of_span(span: &SpanView<'_>, resource: &ResourceFacts) -> Facts {
    let mut picked = Picked::default();
    let mut metadata = Metadata::default();
    let mut attributes = span.attributes();
    while let Some((key, value)) = attributes.next_unread() {
        picked.offer(key, value);
        if let Some(key) = metadata_key(key)
            && let Ok(value) = AnyValue::parse(value)
        {
            metadata.put(key, value);
        }
    }
    for says in [Says::TraceMetadata, Says::Metadata] {
        if let Some(json) = picked.text(says) {
            metadata.put_json(&json);
        }
    }
    let level = picked.text(Says::Level).unwrap_or_default();
    let mut facts = Facts {
        trace_id: Some(span.trace_id),
        span_id: Some(span.span_id),
        is_root: span.parent_span_id.is_none(),
        name: span.name.to_owned(),
        class: picked.class().to_owned(),
        user: picked.owned(Says::User),
        session: picked.owned(Says::Session),
        environment: picked.environment(resource),
        start_ns: span.start_ns,
        end_ns: span.end_ns,
        is_error: span.status_code == STATUS_ERROR || level.eq_ignore_ascii_case("ERROR"),
        is_debug: level.eq_ignore_ascii_case("DEBUG"),
        prompt: picked.prompt(),
        metadata: metadata.0,
        ..Facts::default()
    };
    // The spans around the calls of the model repeat what their children used: it must not be
    // counted twice.
    if !picked.repeats_children() {
        picked.put_generation(&mut facts);
    }
    facts
}

/// The best value for everything that attributes can say.
#[derive(Default)]
struct Picked<'a> {
    best: [Option<(u8, AnyValue<'a>)>; KINDS],
    counts: Counts,
}

impl<'a> Picked<'a> {
    /// Takes an attribute's value, which is only read if its key says something.
    fn offer(&mut self, key: &str, value: &'a [u8]) {
        for rule in rules(key) {
            let Ok(value) = AnyValue::parse(value) else { return };
            if matches!(value, AnyValue::Empty | AnyValue::Text("")) {
                return;
            }
            self.take(rule, value);
        }
    }

    fn take(&mut self, rule: &Rule, value: AnyValue<'a>) {
        if let Says::Count(count) = rule.says {
            if let Some(value) = whole_of(value) {
                self.counts.state(count, rule.rank, value);
            }
            return;
        }
        let best = rule.says.index().and_then(|index| self.best.get_mut(index));
        if let Some(best) = best
            && best.is_none_or(|(rank, _)| rule.rank < rank)
        {
            *best = Some((rule.rank, value));
        }
    }

    fn entry(&self, says: Says) -> Option<(u8, AnyValue<'a>)> {
        says.index().and_then(|index| self.best[index])
    }

    fn text(&self, says: Says) -> Option<Cow<'a, str>> {
        self.entry(says).and_then(|(_, value)| text_of(value))
    }

    fn owned(&self, says: Says) -> Option<String> {
        self.text(says).map(Cow::into_owned)
    }

    /// A name on the span counts as much as the same one on the resource, before later names.
    fn environment(&self, resource: &ResourceFacts) -> Option<String> {
        let own = self.entry(Says::Environment);
        match (own, &resource.environment) {
            (Some((rank, value)), shared)
                if shared.as_ref().is_none_or(|(other, _)| rank <= *other) =>
            {
                text_of(value).map(|text| normal_environment(&text))
            }
            (_, shared) => shared.as_ref().map(|(_, environment)| environment.clone()),
        }
    }

    fn prompt(&self) -> Option<String> {
        let name = self.owned(Says::PromptName)?;
        Some(match self.text(Says::PromptVersion) {
            Some(version) => format!("{name}:{version}"),
            None => name,
        })
    }

    fn class(&self) -> &'static str {
        let named = |says, names: &[(&'static str, &'static str)]| {
            let text = self.text(says)?;
            let found = names.iter().find(|(theirs, _)| text.eq_ignore_ascii_case(theirs));
            found.map(|(_, ours)| *ours)
        };
        named(Says::Type, &TYPES)
            .or_else(|| named(Says::SpanKind, &SPAN_KINDS))
            .or_else(|| named(Says::Operation, &OPERATIONS))
            .or_else(|| named(Says::AiOperation, &AI_OPERATIONS))
            .or_else(|| named(Says::TraceloopKind, &TRACELOOP_KINDS))
            .or_else(|| self.entry(Says::Tool).map(|_| "tool"))
            .or_else(|| {
                let is_ai_sdk =
                    self.text(Says::AiOperation).is_some_and(|it| it.starts_with("ai."));
                (self.entry(Says::Model).is_some() && !is_ai_sdk).then_some("generation")
            })
            .unwrap_or("span")
    }

    /// Whether it is one of the spans that the AI SDK puts around calls of a model, with the sums
    /// of what those used.
    fn repeats_children(&self) -> bool {
        let operation = self.text(Says::Operation).unwrap_or_default();
        let ai_operation = self.text(Says::AiOperation).unwrap_or_default();
        // `operation.name` has the function's id behind a blank.
        let ai_operation = ai_operation.split(' ').next().unwrap_or_default();
        ["invoke_agent", "agent_step"].contains(&&*operation)
            || (ai_operation.starts_with("ai.") && !ai_operation.contains(".do"))
    }

    fn put_generation(&self, facts: &mut Facts) {
        let parameters = self.text(Says::Parameters).and_then(Parameters::parse);
        facts.model = self.owned(Says::Model);
        facts.requested_model = self
            .owned(Says::RequestedModel)
            .or_else(|| parameters.as_ref()?.model.clone())
            .or_else(|| facts.model.clone());
        facts.provider = self.text(Says::Provider).and_then(|name| provider(&name));
        facts.service_tier = self
            .text(Says::Tier)
            .and_then(|tier| normal_tier(&tier))
            .or_else(|| normal_tier(parameters.as_ref()?.service_tier.as_deref()?));
        facts.usage = self.usage();
        facts.stated_cost_pico = self.cost();
    }

    fn usage(&self) -> Usage {
        let details = self.text(Says::UsageDetails).and_then(|json| UsageDetails::parse(&json));
        match details {
            Some(details) => details.usage(),
            None => self.counts.disjoint(Includes::EVERYTHING),
        }
    }

    fn cost(&self) -> Option<u64> {
        let details =
            self.text(Says::CostDetails).and_then(|json| CostDetails::parse(&json)?.total());
        details.or_else(|| match self.entry(Says::Cost)?.1 {
            AnyValue::Double(value) => pico_of_double(value),
            AnyValue::Text(text) => pico_of_text(text),
            AnyValue::Int(value) => pico_of_text(&value.to_string()),
            _ => None,
        })
    }
}

const TYPES: [(&str, &str); 10] = [
    ("span", "span"),
    ("generation", "generation"),
    ("event", "event"),
    ("embedding", "embedding"),
    ("agent", "agent"),
    ("tool", "tool"),
    ("chain", "chain"),
    ("retriever", "retriever"),
    ("guardrail", "guardrail"),
    ("evaluator", "evaluator"),
];
const SPAN_KINDS: [(&str, &str); 9] = [
    ("LLM", "generation"),
    ("CHAIN", "chain"),
    ("RETRIEVER", "retriever"),
    ("RERANKER", "retriever"),
    ("EMBEDDING", "embedding"),
    ("AGENT", "agent"),
    ("TOOL", "tool"),
    ("GUARDRAIL", "guardrail"),
    ("EVALUATOR", "evaluator"),
];
const OPERATIONS: [(&str, &str); 9] = [
    ("chat", "generation"),
    ("completion", "generation"),
    ("text_completion", "generation"),
    ("generate_content", "generation"),
    ("generate", "generation"),
    ("embeddings", "embedding"),
    ("invoke_agent", "agent"),
    ("create_agent", "agent"),
    ("execute_tool", "tool"),
];
const AI_OPERATIONS: [(&str, &str); 7] = [
    ("ai.generateText.doGenerate", "generation"),
    ("ai.streamText.doStream", "generation"),
    ("ai.generateObject.doGenerate", "generation"),
    ("ai.streamObject.doStream", "generation"),
    ("ai.embed.doEmbed", "embedding"),
    ("ai.embedMany.doEmbed", "embedding"),
    ("ai.toolCall", "tool"),
];
const TRACELOOP_KINDS: [(&str, &str); 4] =
    [("workflow", "chain"), ("task", "chain"), ("agent", "agent"), ("tool", "tool")];

/// The parameters of a call, as far as they matter here.
#[derive(Deserialize)]
struct Parameters {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    service_tier: Option<String>,
}

impl Parameters {
    fn parse(json: Cow<'_, str>) -> Option<Self> {
        serde_json::from_str(&json).ok()
    }
}

/// Metadata, bounded.
#[derive(Default)]
struct Metadata(BTreeMap<String, String>);

impl Metadata {
    fn put(&mut self, key: &str, value: AnyValue<'_>) {
        if let Some(text) = text_of(value) {
            self.put_text(key, &text);
        }
    }

    fn put_text(&mut self, key: &str, text: &str) {
        let fits = text.len() <= METADATA_BYTES && key.len() <= METADATA_BYTES;
        if fits && (self.0.len() < METADATA_KEYS || self.0.contains_key(key)) {
            self.0.insert(key.to_owned(), text.to_owned());
        }
    }

    /// Takes an object's values, texts as they are and others as JSON. What stands under a name of
    /// its own wins.
    fn put_json(&mut self, json: &str) {
        // Large metadata is payload, and nothing to decide on.
        if json.len() > METADATA_BYTES * METADATA_KEYS {
            return;
        }
        let Ok(object) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(json) else {
            return;
        };
        for (key, value) in object {
            if self.0.contains_key(&*key) || value.get() == "null" {
                continue;
            }
            match serde_json::from_str::<Cow<'_, str>>(value.get()) {
                Ok(text) => self.put_text(&key, &text),
                Err(_) => self.put_text(&key, value.get()),
            }
        }
    }
}

/// Metadata out of a JSON object, as policies see it.
#[must_use]
pub fn metadata_of_json(json: &str) -> BTreeMap<String, String> {
    let mut metadata = Metadata::default();
    metadata.put_json(json);
    metadata.0
}

/// A value as a text, unless it is a list, a map or bytes.
fn text_of(value: AnyValue<'_>) -> Option<Cow<'_, str>> {
    Some(match value {
        AnyValue::Text(text) => Cow::Borrowed(text),
        AnyValue::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        AnyValue::Int(value) => Cow::Owned(value.to_string()),
        AnyValue::Double(value) => Cow::Owned(value.to_string()),
        _ => return None,
    })
}

fn whole_of(value: AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(value) => u64::try_from(value).ok(),
        AnyValue::Double(value) => whole(value),
        AnyValue::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Langfuse's form of an environment: lower case, without a leading `langfuse`, at most 40 of
/// `a-z`, `0-9`, `-` and `_`; `default` for anything else.
#[must_use]
pub fn normal_environment(text: &str) -> String {
    let lower = text.to_lowercase();
    let mut rest = lower.as_str();
    while let Some(behind) = rest.strip_prefix("langfuse") {
        rest = behind.strip_prefix(['-', '_']).unwrap_or(behind);
    }
    let cut: String = rest.chars().take(40).collect();
    let is_plain = |at: char| at.is_ascii_lowercase() || at.is_ascii_digit() || "-_".contains(at);
    if cut.is_empty() || !cut.chars().all(is_plain) { "default".to_owned() } else { cut }
}

/// A tier in lower case; `None` for the names of the usual one.
#[must_use]
pub fn normal_tier(text: &str) -> Option<String> {
    let tier = text.trim().to_lowercase();
    let is_usual = ["", "auto", "default", "standard"].contains(&tier.as_str());
    (!is_usual && tier.len() <= 64).then_some(tier)
}
