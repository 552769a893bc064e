//! What Langfuse makes of a span: its type, model, user and so on, the first attribute that is
//! there winning.

use serde_json::{Map, Value, json};

use super::super::otlp::user_of;
use super::super::spans::{Attributes, Span, plain};
use super::store::{self, Bodies, Patch};
use super::usage::{cost_details, usage_details};

const TYPES: [&str; 10] = [
    "span",
    "generation",
    "event",
    "embedding",
    "agent",
    "tool",
    "chain",
    "retriever",
    "guardrail",
    "evaluator",
];

const MODELS: &[&str] = &[
    "langfuse.observation.model.name",
    "gen_ai.response.model",
    "ai.model.id",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.model_name",
    "model",
];

const TAGS: &[&str] = &["langfuse.trace.tags", "langfuse.tags", "tag.tags"];

/// The observation that a span becomes.
pub(super) fn observation(span: &Span, with_bodies: bool) -> Patch {
    let attributes = &span.attributes;
    let origin = &span.origin;
    let mut patch = Patch::new(&span.trace_id, &span.span_id);
    patch.parent.clone_from(&span.parent_id);
    patch.start_ns = Some(span.start_ns);
    patch.end_ns = Some(span.end_ns);
    // An agent of the Vercel SDK repeats the totals of its children.
    let operation = attributes.text(&["gen_ai.operation.name"]).unwrap_or_default();
    let repeats =
        origin.scope_name == "ai" && matches!(operation.as_str(), "invoke_agent" | "agent_step");
    if !repeats {
        patch.usage = usage_details(attributes);
        patch.cost = cost_details(attributes);
        patch.set(store::MODEL, attributes.text(MODELS));
    }
    patch.completion_ns = completion_start(attributes);
    patch.set(store::TYPE, Some(type_of(attributes).to_ascii_uppercase()));
    patch.set(store::NAME, Some(span.name.clone()));
    patch.set(store::USER, user_of(attributes));
    let session = ["session.id", "langfuse.session.id", "gen_ai.conversation.id"];
    patch.set(store::SESSION, attributes.text(&session));
    patch.set(store::ENVIRONMENT, Some(environment(attributes, &origin.resource)));
    patch.set(store::TRACE_NAME, attributes.text(&["langfuse.trace.name"]));
    let version = attributes.text(&["langfuse.version"]);
    patch.set(store::VERSION, version.or_else(|| origin.resource.text(&["service.version"])));
    let release = attributes.text(&["langfuse.release"]);
    patch.set(store::RELEASE, release.or_else(|| origin.resource.text(&["langfuse.release"])));
    let failed = if span.status_code == 2 { "ERROR" } else { "DEFAULT" };
    let level = attributes.text(&["langfuse.observation.level"]);
    patch.set(store::LEVEL, Some(level.unwrap_or_else(|| failed.to_owned())));
    let status = attributes.text(&["langfuse.observation.status_message"]);
    patch.set(store::STATUS, status.or_else(|| Some(span.status_message.clone())));
    let prompt = ["langfuse.observation.prompt.name", "langfuse.prompt.name"];
    patch.set(store::PROMPT_NAME, attributes.text(&prompt));
    let prompt = ["langfuse.observation.prompt.version", "langfuse.prompt.version"];
    patch.set(store::PROMPT_VERSION, attributes.text(&prompt));
    patch.set(store::TAGS, tags(attributes));
    if with_bodies {
        patch.bodies = Some(Box::new(bodies(span)));
    }
    patch
}

fn type_of(attributes: &Attributes) -> &'static str {
    let stated = attributes.text(&["langfuse.observation.type"]).unwrap_or_default();
    if let Some(known) = TYPES.into_iter().find(|known| *known == stated) {
        return known;
    }
    let kind = attributes.text(&["openinference.span.kind"]).unwrap_or_default();
    match kind.as_str() {
        "LLM" => return "generation",
        "CHAIN" => return "chain",
        "RETRIEVER" => return "retriever",
        "EMBEDDING" => return "embedding",
        "AGENT" => return "agent",
        "TOOL" => return "tool",
        "GUARDRAIL" => return "guardrail",
        "EVALUATOR" => return "evaluator",
        _ => {}
    }
    let operation = attributes.text(&["gen_ai.operation.name"]).unwrap_or_default();
    match operation.as_str() {
        "chat" | "completion" | "text_completion" | "generate_content" | "generate" => "generation",
        "embeddings" => "embedding",
        "invoke_agent" | "create_agent" => "agent",
        "execute_tool" => "tool",
        _ if attributes.text(&["gen_ai.tool.name", "gen_ai.tool.call.id"]).is_some() => "tool",
        _ if attributes.text(MODELS).is_some() => "generation",
        _ => "span",
    }
}

/// Lower case, without the reserved beginning, 40 characters at most; else `default`.
pub(super) fn environment(attributes: &Attributes, resource: &Attributes) -> String {
    let names = ["langfuse.environment", "deployment.environment.name", "deployment.environment"];
    let stated = attributes.text(&names).or_else(|| resource.text(&names));
    clean_environment(&stated.unwrap_or_default())
}

pub(super) fn clean_environment(stated: &str) -> String {
    let lower = stated.to_lowercase();
    let bare = lower.strip_prefix("langfuse").unwrap_or(&lower);
    let short: String = bare.chars().take(40).collect();
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let is_good = !short.is_empty() && short.chars().all(is_fine);
    if is_good { short } else { "default".to_owned() }
}

fn completion_start(attributes: &Attributes) -> Option<u64> {
    let text = attributes.text(&["langfuse.observation.completion_start_time"])?;
    // Old SDKs write the time as a JSON text inside the text.
    store::nanoseconds(text.trim_matches('"'))
}

/// Tags as a JSON array, from an array, the text of one, or a list with commas.
fn tags(attributes: &Attributes) -> Option<String> {
    let tags: Vec<String> = match attributes.first(TAGS)? {
        Value::Array(tags) => tags.iter().map(plain).collect(),
        Value::String(text) => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(tags) => tags.iter().map(plain).collect(),
            Err(_) => text.split(',').map(|tag| tag.trim().to_owned()).collect(),
        },
        _ => return None,
    };
    Some(Value::from(tags).to_string())
}

fn bodies(span: &Span) -> Bodies {
    let attributes = &span.attributes;
    let mut metadata = Map::new();
    metadata.insert("resourceAttributes".to_owned(), span.origin.resource.to_json());
    let origin = &span.origin;
    metadata.insert("scopeAttributes".to_owned(), origin.scope.to_json());
    metadata.insert(
        "scope".to_owned(),
        json!({"name": origin.scope_name, "version": origin.scope_version}),
    );
    for whole in ["langfuse.observation.metadata", "langfuse.trace.metadata"] {
        if let Some(Value::String(text)) = attributes.get(whole)
            && let Ok(fields) = serde_json::from_str::<Map<String, Value>>(text)
        {
            metadata.extend(fields);
        }
        let prefix = format!("{whole}.");
        let fields = attributes.below(&prefix);
        metadata.extend(fields.map(|(name, value)| (name.to_owned(), value.clone())));
    }
    let input = [
        "langfuse.observation.input",
        "langfuse.trace.input",
        "gen_ai.input.messages",
        "input.value",
    ];
    let output = [
        "langfuse.observation.output",
        "langfuse.trace.output",
        "gen_ai.output.messages",
        "output.value",
    ];
    Bodies {
        input: attributes
            .text(&input)
            .or_else(|| messages(span, |name| name.ends_with(".message"))),
        output: attributes.text(&output).or_else(|| messages(span, |name| name == "gen_ai.choice")),
        metadata: Some(Value::Object(metadata).to_string()),
        parameters: Some(parameters(attributes)),
    }
}

/// The messages that older conventions send as events of the span, as a JSON array.
fn messages(span: &Span, is_wanted: fn(&str) -> bool) -> Option<String> {
    let events = span.events.iter();
    let wanted = events.filter(|(name, _)| name.starts_with("gen_ai.") && is_wanted(name));
    let wanted: Vec<Value> = wanted.map(|(_, attributes)| attributes.to_json()).collect();
    (!wanted.is_empty()).then(|| Value::from(wanted).to_string())
}

fn parameters(attributes: &Attributes) -> String {
    if let Some(stated) = attributes.text(&["langfuse.observation.model.parameters"]) {
        return stated;
    }
    let requested = attributes.below("gen_ai.request.").filter(|(name, _)| *name != "model");
    let requested = requested.map(|(name, value)| (name.to_owned(), value.clone()));
    Value::Object(requested.collect()).to_string()
}
