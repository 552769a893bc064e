//! Owns the CEL of policies: an expression over what is known of an event, compiled once, with only
//! those variables set that it names. The functions of CEL are registered once for all of them,
//! because that alone takes thirty times as long as an evaluation.

use super::condition::{Subject, kind};
use cel::{Context, Program, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

static FUNCTIONS: LazyLock<Context<'static, 'static>> = LazyLock::new(Context::default);

/// An expression longer than this is refused.
const BYTES_MAX: usize = 4 << 10;

/// Whether what they make is a variable is not known without running them.
const LOOPS: [&str; 5] = [".all(", ".exists", ".map(", ".filter(", "cel.bind"];

/// What an expression can name.
pub(super) const VARIABLES: [&str; 24] = [
    "workspace",
    "project",
    "api_key",
    "user",
    "session",
    "environment",
    "provider",
    "model",
    "response_model",
    "service_tier",
    "name",
    "type",
    "kind",
    "prompt",
    "metadata",
    "cost_usd",
    "tokens",
    "input_tokens",
    "output_tokens",
    "duration_ms",
    "is_error",
    "is_debug",
    "is_root",
    "at_ms",
];

/// A compiled expression.
pub(super) struct Clause {
    text: String,
    program: Program,
    reads: Vec<&'static str>,
}

impl std::fmt::Debug for Clause {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Clause({:?})", self.text)
    }
}

/// Why an expression can't be used: what, and a word that is not known.
pub(super) enum Wrong {
    Syntax(String),
    Variable(String),
}

impl Clause {
    pub(super) fn compile(text: &str) -> Result<Self, Wrong> {
        if text.len() > BYTES_MAX {
            return Err(Wrong::Syntax(format!("it has more than {BYTES_MAX} bytes")));
        }
        let program = Program::compile(text).map_err(|error| {
            let words = error.to_string();
            Wrong::Syntax(words.split_whitespace().collect::<Vec<_>>().join(" "))
        })?;
        let references = program.references();
        let is_plain = !LOOPS.iter().any(|sign| text.contains(sign));
        let unknown = references.variables().into_iter().find(|name| !VARIABLES.contains(name));
        if let (true, Some(name)) = (is_plain, unknown) {
            return Err(Wrong::Variable(name.to_owned()));
        }
        let reads = VARIABLES.into_iter().filter(|name| references.has_variable(name)).collect();
        Ok(Self { text: text.to_owned(), reads, program })
    }

    /// Whether it holds; `None` when that can't be said, because of types that don't fit or an
    /// answer that is neither true nor false.
    pub(super) fn holds(&self, subject: &Subject<'_>) -> Option<bool> {
        let mut context = FUNCTIONS.new_inner_scope();
        for name in &self.reads {
            context.add_variable_from_value(*name, value(name, subject));
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(answer)) => Some(answer),
            _ => None,
        }
    }
}

fn value(name: &str, subject: &Subject<'_>) -> Value {
    let facts = subject.facts;
    let count = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    match name {
        "workspace" | "project" => Value::from(subject.project),
        "api_key" => Value::from(subject.key_name),
        "user" => text(facts.user.as_deref()),
        "session" => text(facts.session.as_deref()),
        "environment" => text(facts.environment.as_deref()),
        "provider" => text(facts.provider.as_deref()),
        "model" => text(facts.requested_model.as_deref().or(facts.model.as_deref())),
        "response_model" => text(facts.model.as_deref()),
        "service_tier" => text(facts.service_tier.as_deref()),
        "name" => Value::from(facts.name.as_str()),
        "type" => Value::from(facts.class.as_str()),
        "kind" => Value::from(kind(subject.kind)),
        "prompt" => text(facts.prompt.as_deref()),
        "metadata" => Value::from(
            facts
                .metadata
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect::<HashMap<_, _>>(),
        ),
        // A comparison in CEL needs a double; what is counted and charged never becomes one.
        "cost_usd" => {
            subject.cost_pico.map_or(Value::Null, |pico| Value::Float(pico as f64 / 1e12))
        }
        "tokens" => count(facts.usage.all_input().saturating_add(facts.usage.all_output())),
        "input_tokens" => count(facts.usage.all_input()),
        "output_tokens" => count(facts.usage.all_output()),
        "duration_ms" => count(facts.duration_ms()),
        "is_error" => Value::Bool(facts.is_error),
        "is_debug" => Value::Bool(facts.is_debug),
        "is_root" => Value::Bool(facts.is_root),
        "at_ms" => count(facts.start_ns / 1_000_000),
        _ => Value::Null,
    }
}
