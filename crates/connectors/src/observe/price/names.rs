//! The names of models and providers as clients write them, and as the price map does.

use super::table::NAME_MAX;

/// How many suffixes are taken off a name, one after the other: a version and a date.
const SUFFIXES_MAX: usize = 3;

/// What the price map may call a provider, likeliest first. Clients use the words of
/// OpenTelemetry's conventions (`aws.bedrock`, `gcp.gemini`), of OpenInference (`google`), or of
/// the Vercel AI SDK (`openai.responses`, `amazon-bedrock`).
pub(super) fn providers(name: &str) -> Vec<String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Vec::new();
    }
    let name = name.to_ascii_lowercase();
    let head = name.split('.').next().unwrap_or_default();
    let mut list: Vec<String> = Vec::new();
    for word in [name.as_str(), head] {
        let known = ALIASES.iter().find(|(aliases, _)| aliases.contains(&word));
        list.extend(known.map_or(word, |(_, provider)| provider).split(' ').map(str::to_owned));
        list.push(word.replace('-', "_"));
        if known.is_some() {
            break;
        }
    }
    let mut seen: Vec<String> = Vec::new();
    list.retain(|word| {
        let is_new = !word.is_empty() && !seen.contains(word);
        seen.push(word.clone());
        is_new
    });
    list
}

const ALIASES: &[(&[&str], &str)] = &[
    (
        &["aws.bedrock", "aws_bedrock", "amazon-bedrock", "amazon_bedrock", "aws", "bedrock"],
        "bedrock bedrock_converse",
    ),
    (
        &[
            "azure.ai.openai",
            "az.ai.openai",
            "azure.openai",
            "azure_openai",
            "azure-openai",
            "azure",
        ],
        "azure",
    ),
    (&["azure.ai.inference", "az.ai.inference", "azure_ai_inference"], "azure_ai azure"),
    (
        &["gcp.vertex_ai", "google.vertex", "google-vertex", "google_vertex", "vertexai", "vertex"],
        "vertex_ai",
    ),
    (
        &[
            "gcp.gemini",
            "gcp.gen_ai",
            "google.generative-ai",
            "google_genai",
            "google-genai",
            "google",
        ],
        "gemini",
    ),
    (&["x_ai", "x-ai", "grok"], "xai"),
    (&["mistral_ai", "mistralai", "mistral-ai"], "mistral"),
    (&["ibm.watsonx.ai", "ibm"], "watsonx"),
    (&["together", "together.ai", "togetherai", "together-ai"], "together_ai"),
    (&["fireworks", "fireworks.ai", "fireworks-ai"], "fireworks_ai"),
    (&["moonshotai", "moonshot_ai", "moonshot.ai"], "moonshot"),
    (&["alibaba", "alibaba_cloud", "alibaba-cloud", "qwen"], "dashscope"),
    (&["vercel", "gateway", "ai-gateway"], "vercel_ai_gateway"),
    (&["zhipu", "zhipuai", "z.ai", "z-ai"], "zai"),
    (&["meta"], "meta_llama"),
    (&["cloudflare-workers-ai", "workers-ai"], "cloudflare"),
];

/// The spellings under which a model may be in the map, likeliest first: as it is, without what a
/// client's library puts around it, without date and version, without the region, and each of them
/// without the part before the first slash.
pub(super) fn spellings(model: &str) -> Vec<String> {
    if model.is_empty() || model.len() > NAME_MAX {
        return Vec::new();
    }
    let mut list = vec![model.to_owned()];
    let bare = bare(model);
    list.push(bare.clone());
    let mut undated = bare.as_str();
    for _ in 0..SUFFIXES_MAX {
        let Some(shorter) = without_date(undated) else { break };
        list.push(shorter.to_owned());
        undated = shorter;
    }
    let regional = list.clone();
    list.extend(regional.iter().filter_map(|name| without_region(name)).map(str::to_owned));
    let with_slash = list.clone();
    let tails = with_slash.iter().filter_map(|name| name.split_once('/')).map(|(_, tail)| tail);
    list.extend(tails.map(str::to_owned));
    let mut seen: Vec<String> = Vec::with_capacity(list.len());
    for name in list {
        if !name.is_empty() && !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// Without Gemini's `models/`, the path of an AWS resource name, and what follows the base model of
/// OpenAI's fine-tuned models (`ft:gpt-4o:organization::id`).
fn bare(model: &str) -> String {
    if model.starts_with("arn:") {
        return model.rsplit('/').next().unwrap_or(model).to_owned();
    }
    if let Some(tuned) = model.strip_prefix("ft:") {
        return format!("ft:{}", tuned.split(':').next().unwrap_or(tuned));
    }
    model.strip_prefix("models/").unwrap_or(model).to_owned()
}

/// Without one of `-2024-08-06`, `-20250929`, `@20250929`, `@default`, `-v1:0`, `-v2`.
fn without_date(name: &str) -> Option<&str> {
    if let Some((head, _)) = name.rsplit_once('@') {
        return Some(head);
    }
    let is_digits = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (head, last) = name.rsplit_once('-')?;
    if is_digits(last, 8) {
        return Some(head);
    }
    if let Some(version) = last.strip_prefix('v') {
        let is_version = |byte: u8| byte.is_ascii_digit() || byte == b':' || byte == b'.';
        return (!version.is_empty() && version.bytes().all(is_version)).then_some(head);
    }
    let (head, month) = head.rsplit_once('-')?;
    let (head, year) = head.rsplit_once('-')?;
    (is_digits(last, 2) && is_digits(month, 2) && is_digits(year, 4)).then_some(head)
}

/// Without the region that Bedrock's inference profiles begin with, as in `us.anthropic.claude`.
fn without_region(name: &str) -> Option<&str> {
    const REGIONS: [&str; 9] = ["us", "eu", "apac", "global", "us-gov", "au", "jp", "ca", "sa"];
    let (region, rest) = name.split_once('.')?;
    (REGIONS.contains(&region) && rest.contains('.')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::{providers, spellings};

    #[test]
    fn providers_have_many_names() {
        assert_eq!(providers("openai"), ["openai"]);
        assert_eq!(providers("OpenAI.responses"), ["openai.responses", "openai"]);
        assert_eq!(providers("aws.bedrock")[..2], ["bedrock", "bedrock_converse"]);
        assert_eq!(providers("amazon-bedrock")[0], "bedrock");
        assert_eq!(providers("az.ai.openai")[0], "azure");
        assert_eq!(providers("azure.responses"), ["azure.responses", "azure"]);
        assert_eq!(providers("gcp.gemini")[0], "gemini");
        assert_eq!(providers("google.generative-ai")[0], "gemini");
        assert_eq!(providers("x_ai")[0], "xai");
        assert_eq!(providers("github-copilot"), ["github-copilot", "github_copilot"]);
        assert!(providers("").is_empty());
        assert!(providers(&"x".repeat(300)).is_empty());
    }

    #[test]
    fn dates_and_versions_are_taken_off() {
        assert_eq!(spellings("gpt-4o-2024-08-06"), ["gpt-4o-2024-08-06", "gpt-4o"]);
        assert_eq!(spellings("claude-x-5-20260101"), ["claude-x-5-20260101", "claude-x-5"]);
        assert_eq!(spellings("claude-x-5@20260101"), ["claude-x-5@20260101", "claude-x-5"]);
        assert_eq!(spellings("gpt-4-0613"), ["gpt-4-0613"]);
        assert_eq!(spellings("grok-2-vision"), ["grok-2-vision"]);
    }

    #[test]
    fn regions_and_paths_are_taken_off() {
        assert_eq!(
            spellings("us.anthropic.claude-x-20260101-v1:0"),
            [
                "us.anthropic.claude-x-20260101-v1:0",
                "us.anthropic.claude-x-20260101",
                "us.anthropic.claude-x",
                "anthropic.claude-x-20260101-v1:0",
                "anthropic.claude-x-20260101",
                "anthropic.claude-x",
            ]
        );
        assert_eq!(spellings("openai/gpt-4o"), ["openai/gpt-4o", "gpt-4o"]);
        assert_eq!(spellings("models/gemini-x"), ["models/gemini-x", "gemini-x"]);
        assert_eq!(spellings("ft:gpt-4o-2024-08-06:me::1")[1], "ft:gpt-4o-2024-08-06");
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0";
        assert!(spellings(arn).contains(&"us.amazon.nova-lite-v1:0".to_owned()));
        assert_eq!(spellings("us.model"), ["us.model"]);
    }

    #[test]
    fn names_have_a_bound() {
        assert!(spellings("").is_empty());
        assert!(spellings(&"x".repeat(257)).is_empty());
        assert!(spellings(&"us.a/".repeat(50)).len() <= 24);
    }
}
