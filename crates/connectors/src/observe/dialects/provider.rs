//! Names of providers, brought to those of LiteLLM's price map.

/// Names of the conventions, in lower case, with LiteLLM's. Names that are the same are not here.
const NAMES: [(&str, &str); 56] = [
    // OpenTelemetry, today's and earlier names.
    ("aws.bedrock", "bedrock"),
    ("azure.ai.inference", "azure_ai"),
    ("az.ai.inference", "azure_ai"),
    ("azure.ai.openai", "azure"),
    ("az.ai.openai", "azure"),
    ("gcp.gemini", "gemini"),
    ("gcp.gen_ai", "vertex_ai"),
    ("gcp.vertex_ai", "vertex_ai"),
    ("ibm.watsonx.ai", "watsonx"),
    ("mistral_ai", "mistral"),
    ("moonshot_ai", "moonshot"),
    ("x_ai", "xai"),
    // OpenInference, and OpenLLMetry, which writes them with capitals.
    ("mistralai", "mistral"),
    ("vertexai", "vertex_ai"),
    ("aws", "bedrock"),
    ("google", "gemini"),
    ("azure-openai", "azure"),
    ("azure_openai", "azure"),
    ("azureopenai", "azure"),
    ("azure openai", "azure"),
    ("azure-ai-inference", "azure_ai"),
    ("amazon", "bedrock"),
    ("amazon-bedrock", "bedrock"),
    ("amazon_bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("fireworks", "fireworks_ai"),
    ("fireworks-ai", "fireworks_ai"),
    ("fireworksai", "fireworks_ai"),
    ("together", "together_ai"),
    ("togetherai", "together_ai"),
    ("together.ai", "together_ai"),
    ("grok", "xai"),
    ("x.ai", "xai"),
    ("perplexityai", "perplexity"),
    ("hugging_face", "huggingface"),
    ("hugging-face", "huggingface"),
    ("nvidia", "nvidia_nim"),
    ("alibaba", "dashscope"),
    ("alibaba_cloud", "dashscope"),
    ("qwen", "dashscope"),
    ("watsonx.ai", "watsonx"),
    ("ibm", "watsonx"),
    ("voyageai", "voyage"),
    ("voyage-ai", "voyage"),
    ("jina", "jina_ai"),
    ("jinaai", "jina_ai"),
    ("deep_seek", "deepseek"),
    // The AI SDK, whose names have the kind of model behind a dot.
    ("google.generative-ai", "gemini"),
    ("google.generativeai", "gemini"),
    ("google-vertex", "vertex_ai"),
    ("google.vertex", "vertex_ai"),
    ("vertex.anthropic", "vertex_ai"),
    ("google_genai", "gemini"),
    ("google_vertexai", "vertex_ai"),
    ("google_ai_studio", "gemini"),
    ("vertex", "vertex_ai"),
];

/// What the AI SDK adds to the name of a provider.
const KINDS: [&str; 9] = [
    "chat",
    "messages",
    "responses",
    "completion",
    "embedding",
    "image",
    "speech",
    "transcription",
    "textembedding",
];

/// The longest name that is kept.
const LONGEST: usize = 64;

/// The provider's name in LiteLLM's price map where it is known, else the name in lower case.
/// `None` for an empty name, one above 64 bytes, and frameworks that only call providers.
#[must_use]
pub fn provider(name: &str) -> Option<String> {
    let mut name = name.trim();
    if let Some((front, kind)) = name.rsplit_once('.')
        && KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known))
    {
        name = front;
    }
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    if ["langchain", "llamaindex", "unknown", "_other"]
        .iter()
        .any(|it| name.eq_ignore_ascii_case(it))
    {
        return None;
    }
    let known = NAMES.iter().find(|(theirs, _)| name.eq_ignore_ascii_case(theirs));
    Some(known.map_or_else(|| name.to_lowercase(), |(_, ours)| (*ours).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_those_of_the_price_map() {
        for (theirs, ours) in [
            ("openai", "openai"),
            ("OpenAI", "openai"),
            ("openai.chat", "openai"),
            ("openai.responses", "openai"),
            ("anthropic.messages", "anthropic"),
            ("az.ai.openai", "azure"),
            ("azure.ai.inference", "azure_ai"),
            ("aws.bedrock", "bedrock"),
            ("AWS", "bedrock"),
            ("vertex_ai", "vertex_ai"),
            ("VertexAI", "vertex_ai"),
            ("google.vertex.chat", "vertex_ai"),
            ("google.generative-ai.chat", "gemini"),
            ("MistralAI", "mistral"),
            ("somebody.else", "somebody.else"),
        ] {
            assert_eq!(provider(theirs).as_deref(), Some(ours), "{theirs}");
        }
    }

    #[test]
    fn what_is_no_provider_is_none() {
        assert_eq!(provider(" "), None);
        assert_eq!(provider("Langchain"), None);
        assert_eq!(provider(&"x".repeat(65)), None);
    }

    #[test]
    fn no_name_is_there_twice() {
        for (index, (name, _)) in NAMES.iter().enumerate() {
            assert_eq!(*name, name.to_lowercase());
            assert!(NAMES[..index].iter().all(|(before, _)| before != name), "{name}");
        }
    }
}
