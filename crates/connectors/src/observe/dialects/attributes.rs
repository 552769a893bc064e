//! The names of attributes that say something of a span's facts, as one table: a name, what it
//! says, and its rank among the names that say the same. The lowest rank that has a value wins.
//!
//! The names are those of Langfuse, of OpenTelemetry's conventions for generative AI with their
//! earlier forms, of OpenInference, of OpenLLMetry, and of the AI SDK of Vercel.

use super::usage::Count;
use std::sync::LazyLock;

/// What an attribute says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Langfuse's type of the observation.
    Type,
    /// OpenInference's kind of the span.
    SpanKind,
    /// The operation of the conventions, such as `chat`.
    Operation,
    /// OpenLLMetry's kind of the span.
    TraceloopKind,
    /// The operation of the AI SDK, such as `ai.generateText.doGenerate`.
    AiOperation,
    /// It is a call of a tool.
    Tool,
    /// The model that answered.
    Model,
    /// The model that was asked.
    RequestedModel,
    /// Who runs the model.
    Provider,
    /// The vendor's service tier.
    Tier,
    /// JSON with the parameters of the call.
    Parameters,
    /// Who used the application.
    User,
    /// The conversation.
    Session,
    /// The application's environment.
    Environment,
    /// Langfuse's level.
    Level,
    /// The name of the prompt.
    PromptName,
    /// Its version.
    PromptVersion,
    /// JSON with counts of tokens that do not overlap.
    UsageDetails,
    /// JSON with costs.
    CostDetails,
    /// The total cost.
    Cost,
    /// JSON with metadata of the trace.
    TraceMetadata,
    /// JSON with metadata of the observation.
    Metadata,
    /// A count of tokens.
    Count(Count),
}

/// How many kinds there are besides counts; [`Says::index`] is below it.
pub const KINDS: usize = 22;

impl Says {
    /// The place of a kind that is no count.
    #[must_use]
    pub const fn index(self) -> Option<usize> {
        Some(match self {
            Self::Type => 0,
            Self::SpanKind => 1,
            Self::Operation => 2,
            Self::TraceloopKind => 3,
            Self::AiOperation => 4,
            Self::Tool => 5,
            Self::Model => 6,
            Self::RequestedModel => 7,
            Self::Provider => 8,
            Self::Tier => 9,
            Self::Parameters => 10,
            Self::User => 11,
            Self::Session => 12,
            Self::Environment => 13,
            Self::Level => 14,
            Self::PromptName => 15,
            Self::PromptVersion => 16,
            Self::UsageDetails => 17,
            Self::CostDetails => 18,
            Self::Cost => 19,
            Self::TraceMetadata => 20,
            Self::Metadata => 21,
            Self::Count(_) => return None,
        })
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The attribute's name.
    pub key: &'static str,
    /// What it says.
    pub says: Says,
    /// The rank.
    pub rank: u8,
}

/// The kinds with their names, the ones that win first.
const TABLE: &[(Says, &[&str])] = &[
    (Says::Type, &["langfuse.observation.type"]),
    (Says::SpanKind, &["openinference.span.kind"]),
    (Says::Operation, &["gen_ai.operation.name"]),
    (Says::TraceloopKind, &["traceloop.span.kind"]),
    (Says::AiOperation, &["ai.operationId", "operation.name"]),
    (Says::Tool, &["gen_ai.tool.name", "gen_ai.tool.call.id", "ai.toolCall.name"]),
    (
        Says::Model,
        &[
            "langfuse.observation.model.name",
            "gen_ai.response.model",
            "ai.response.model",
            "ai.model.id",
            "gen_ai.request.model",
            "llm.response.model",
            "llm.model_name",
            "embedding.model_name",
            "llm.request.model",
            "model",
        ],
    ),
    (Says::RequestedModel, &["gen_ai.request.model", "ai.model.id", "llm.request.model"]),
    (
        Says::Provider,
        &[
            "gen_ai.provider.name",
            "gen_ai.system",
            "llm.provider",
            "ai.model.provider",
            "llm.system",
            "llm.vendor",
        ],
    ),
    (
        Says::Tier,
        &[
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "gen_ai.response.service_tier",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
            "gen_ai.request.service_tier",
        ],
    ),
    (Says::Parameters, &["langfuse.observation.model.parameters", "llm.invocation_parameters"]),
    (
        Says::User,
        &[
            "langfuse.user.id",
            "user.id",
            "langfuse.observation.metadata.langfuse_user_id",
            "langfuse.trace.metadata.langfuse_user_id",
            "ai.telemetry.metadata.userId",
            "traceloop.association.properties.user_id",
            "enduser.id",
            "llm.user",
        ],
    ),
    (
        Says::Session,
        &[
            "langfuse.session.id",
            "session.id",
            "gen_ai.conversation.id",
            "langfuse.observation.metadata.langfuse_session_id",
            "langfuse.trace.metadata.langfuse_session_id",
            "ai.telemetry.metadata.sessionId",
            "traceloop.association.properties.session_id",
        ],
    ),
    (
        Says::Environment,
        &["langfuse.environment", "deployment.environment.name", "deployment.environment"],
    ),
    (Says::Level, &["langfuse.observation.level"]),
    (
        Says::PromptName,
        &["langfuse.observation.prompt.name", "langfuse.prompt.name", "gen_ai.prompt.name"],
    ),
    (Says::PromptVersion, &["langfuse.observation.prompt.version", "langfuse.prompt.version"]),
    (Says::UsageDetails, &["langfuse.observation.usage_details"]),
    (Says::CostDetails, &["langfuse.observation.cost_details"]),
    (
        Says::Cost,
        &["gen_ai.usage.cost", "llm.cost.total", "gen_ai.cost.total_cost", "llm.response.cost"],
    ),
    (Says::TraceMetadata, &["langfuse.trace.metadata", "langfuse.metadata"]),
    (Says::Metadata, &["langfuse.observation.metadata", "metadata"]),
    (
        Says::Count(Count::Input),
        &[
            "gen_ai.usage.prompt_tokens",
            "gen_ai.usage.input_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
        ],
    ),
    (
        Says::Count(Count::Output),
        &[
            "gen_ai.usage.completion_tokens",
            "gen_ai.usage.output_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
        ],
    ),
    (
        Says::Count(Count::Total),
        &[
            "gen_ai.usage.total_tokens",
            "llm.token_count.total",
            "llm.usage.total_tokens",
            "ai.usage.totalTokens",
            "ai.usage.tokens",
        ],
    ),
    (
        Says::Count(Count::CacheRead),
        &[
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.cache_read_tokens",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cache_read_input_tokens",
            "gen_ai.usage.details.cached_tokens",
            "gen_ai.usage.input_cached_tokens",
            "gen_ai.usage.input_tokens.cached",
            "llm.token_count.prompt_details.cache_read",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ],
    ),
    (
        Says::Count(Count::CacheWrite),
        &[
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.cache_write_tokens",
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.details.cache_creation_input_tokens",
            "gen_ai.usage.input_cache_creation",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
        ],
    ),
    (Says::Count(Count::CacheWrite5m), &["gen_ai.usage.cache_creation.ephemeral_5m_input_tokens"]),
    (Says::Count(Count::CacheWrite1h), &["gen_ai.usage.cache_creation.ephemeral_1h_input_tokens"]),
    (
        Says::Count(Count::AudioInput),
        &[
            "llm.token_count.prompt_details.audio",
            "gen_ai.usage.details.input_audio_tokens",
            "gen_ai.usage.details.prompt_audio_tokens",
        ],
    ),
    (
        Says::Count(Count::Reasoning),
        &[
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ],
    ),
    (
        Says::Count(Count::AudioOutput),
        &[
            "llm.token_count.completion_details.audio",
            "gen_ai.usage.details.output_audio_tokens",
            "gen_ai.usage.details.completion_audio_tokens",
        ],
    ),
];

/// Names above this have no rule.
const LONGEST: usize = 64;

/// The rows by the length of their names: few names have the same length, so nearly every
/// attribute that says nothing is passed over after a comparison or two.
static BY_LENGTH: LazyLock<Vec<Vec<Rule>>> = LazyLock::new(|| {
    let mut by_length = vec![Vec::new(); LONGEST + 1];
    for (says, keys) in TABLE {
        for (rank, key) in (0..).zip(*keys) {
            by_length[key.len().min(LONGEST)].push(Rule { key, says: *says, rank });
        }
    }
    by_length
});

/// The rows for an attribute: none for most, two for a few.
pub fn rules(key: &str) -> impl Iterator<Item = &'static Rule> {
    let rules = BY_LENGTH.get(key.len()).map_or(&[][..], Vec::as_slice);
    rules.iter().filter(move |rule| rule.key == key)
}

/// The beginnings of names behind which a key of metadata stands.
const METADATA: [&str; 5] = [
    "langfuse.observation.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.metadata.",
    "ai.telemetry.metadata.",
    "traceloop.association.properties.",
];

/// The key of metadata that an attribute's name has, if it has one.
#[must_use]
pub fn metadata_key(key: &str) -> Option<&str> {
    // Most names begin otherwise.
    if !matches!(key.as_bytes().first(), Some(b'l' | b'a' | b't')) {
        return None;
    }
    let rest = METADATA.iter().find_map(|front| key.strip_prefix(front))?;
    (!rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place_and_every_name_is_found() {
        let mut places = [false; KINDS];
        for (says, keys) in TABLE {
            if let Some(index) = says.index() {
                assert!(!std::mem::replace(&mut places[index], true), "{says:?}");
            }
            for key in *keys {
                assert!(key.len() < LONGEST, "{key}");
                assert_eq!(rules(key).filter(|rule| rule.says == *says).count(), 1, "{key}");
            }
        }
        assert_eq!(places, [true; KINDS]);
        assert_eq!(rules("gen_ai.request.model").count(), 2);
        assert_eq!(rules("gen_ai.request.temperature").count(), 0);
        assert_eq!(rules(&"x".repeat(1_000)).count(), 0);
    }

    #[test]
    fn metadata_stands_behind_several_beginnings() {
        assert_eq!(metadata_key("langfuse.trace.metadata.plan"), Some("plan"));
        assert_eq!(metadata_key("ai.telemetry.metadata.a.b"), Some("a.b"));
        assert_eq!(metadata_key("langfuse.trace.metadata."), None);
        assert_eq!(metadata_key("langfuse.trace.name"), None);
    }
}
