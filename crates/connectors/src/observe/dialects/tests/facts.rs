use crate::observe::dialects::facts::{ResourceFacts, normal_environment, of_span};
use crate::observe::dialects::ids::hex;
use crate::observe::event::{Facts, Usage};
use crate::observe::otlp::rewrite::{Added, add_to_resource, add_to_span};
use crate::observe::otlp::span::SpanView;
use crate::observe::otlp::wire::{put_bytes, put_fixed64, put_number};

use Added::{Double, Int, Text};

fn span(attributes: &[(&str, Added<'_>)]) -> Vec<u8> {
    let mut span = Vec::new();
    put_bytes(&mut span, 1, &[7; 16]);
    put_bytes(&mut span, 2, &[9; 8]);
    put_bytes(&mut span, 5, b"the span");
    put_fixed64(&mut span, 7, 1_000_000_000);
    put_fixed64(&mut span, 8, 3_500_000_000);
    for (key, value) in attributes {
        add_to_span(&mut span, key, *value);
    }
    span
}

fn facts(attributes: &[(&str, Added<'_>)]) -> Facts {
    of_span(&SpanView::parse(&span(attributes)).unwrap(), &ResourceFacts::default())
}

#[test]
fn a_plain_span_has_few_facts() {
    let mut facts = facts(&[("http.route", Text("/x")), ("http.status_code", Int(200))]);
    assert_eq!(hex(&facts.trace_id.take().unwrap()), "07".repeat(16));
    assert_eq!(hex(&facts.span_id.take().unwrap()), "09".repeat(8));
    assert_eq!(facts.duration_ms(), 2_500);
    assert_eq!(
        facts,
        Facts {
            name: "the span".into(),
            class: "span".into(),
            is_root: true,
            start_ns: 1_000_000_000,
            end_ns: 3_500_000_000,
            ..Facts::default()
        }
    );
}

#[test]
fn a_generation_of_langfuse_five() {
    let facts = facts(&[
        ("langfuse.observation.type", Text("generation")),
        ("langfuse.observation.model.name", Text("gpt-4o")),
        (
            "langfuse.observation.model.parameters",
            Text(r#"{"temperature":0,"service_tier":"Flex"}"#),
        ),
        (
            "langfuse.observation.usage_details",
            Text(r#"{"input":100,"output":50,"input_cached_tokens":20}"#),
        ),
        ("langfuse.observation.cost_details", Text(r#"{"total":0.00375}"#)),
        ("langfuse.observation.prompt.name", Text("greeting")),
        ("langfuse.observation.prompt.version", Int(3)),
        ("langfuse.observation.level", Text("DEBUG")),
        ("langfuse.environment", Text("Langfuse-Staging")),
        ("user.id", Text("u1")),
        ("session.id", Text("s1")),
        ("langfuse.trace.metadata.plan", Text("pro")),
        ("langfuse.observation.metadata", Text(r#"{"plan":"free","tries":2,"nothing":null}"#)),
        // The conventions' own names are there too, and do not count beside Langfuse's.
        ("gen_ai.usage.input_tokens", Int(999)),
        ("gen_ai.response.model", Text("gpt-4o-2024-08-06")),
    ]);
    assert_eq!(facts.class, "generation");
    assert_eq!(facts.model.as_deref(), Some("gpt-4o"));
    assert_eq!(facts.requested_model.as_deref(), Some("gpt-4o"));
    assert_eq!(facts.service_tier.as_deref(), Some("flex"));
    assert_eq!(facts.usage, Usage { input: 100, cache_read: 20, output: 50, ..Usage::default() });
    assert_eq!(facts.stated_cost_pico, Some(3_750_000_000));
    assert_eq!(facts.prompt.as_deref(), Some("greeting:3"));
    assert_eq!(facts.environment.as_deref(), Some("staging"));
    assert_eq!((facts.user.as_deref(), facts.session.as_deref()), (Some("u1"), Some("s1")));
    assert_eq!((facts.is_debug, facts.is_error), (true, false));
    let metadata: Vec<_> = facts.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(metadata, [("plan", "pro"), ("tries", "2")]);
}

#[test]
fn a_span_of_openllmetry() {
    let facts = facts(&[
        ("gen_ai.system", Text("OpenAI")),
        ("gen_ai.operation.name", Text("chat")),
        ("gen_ai.request.model", Text("gpt-4o")),
        ("gen_ai.response.model", Text("gpt-4o-2024-08-06")),
        ("gen_ai.usage.input_tokens", Int(1_000)),
        ("gen_ai.usage.output_tokens", Int(500)),
        ("gen_ai.usage.total_tokens", Int(1_500)),
        ("gen_ai.usage.cache_read_input_tokens", Int(600)),
        ("gen_ai.usage.reasoning_tokens", Int(100)),
        ("traceloop.association.properties.user_id", Text("u2")),
        ("traceloop.association.properties.plan", Text("pro")),
    ]);
    assert_eq!(facts.class, "generation");
    assert_eq!(facts.provider.as_deref(), Some("openai"));
    assert_eq!(facts.model.as_deref(), Some("gpt-4o-2024-08-06"));
    assert_eq!(facts.requested_model.as_deref(), Some("gpt-4o"));
    assert_eq!(
        facts.usage,
        Usage { input: 400, cache_read: 600, output: 400, reasoning: 100, ..Usage::default() }
    );
    assert_eq!(facts.user.as_deref(), Some("u2"));
    assert_eq!(facts.metadata["plan"], "pro");
}

#[test]
fn a_span_of_openinference() {
    let facts = facts(&[
        ("openinference.span.kind", Text("LLM")),
        ("llm.model_name", Text("gpt-4o-2024-08-06")),
        ("llm.invocation_parameters", Text(r#"{"model":"gpt-4o","n":1}"#)),
        ("llm.provider", Text("azure")),
        ("llm.token_count.prompt", Int(100)),
        ("llm.token_count.completion", Int(50)),
        ("llm.token_count.prompt_details.cache_read", Int(30)),
        ("llm.token_count.prompt_details.cache_write", Int(20)),
        ("llm.token_count.completion_details.reasoning", Int(10)),
        ("llm.token_count.completion_details.audio", Int(5)),
        ("llm.cost.total", Double(0.001_25)),
        ("metadata", Text(r#"{"team":"search"}"#)),
    ]);
    assert_eq!(facts.class, "generation");
    assert_eq!(facts.requested_model.as_deref(), Some("gpt-4o"));
    assert_eq!(facts.provider.as_deref(), Some("azure"));
    assert_eq!(
        facts.usage,
        Usage {
            input: 50,
            cache_read: 30,
            cache_write: 20,
            output: 35,
            reasoning: 10,
            audio_output: 5,
            ..Usage::default()
        }
    );
    assert_eq!(facts.stated_cost_pico, Some(1_250_000_000));
    assert_eq!(facts.metadata["team"], "search");
}

#[test]
fn the_spans_around_calls_of_the_ai_sdk_repeat_nothing() {
    let inner = facts(&[
        ("operation.name", Text("ai.generateText.doGenerate my-function")),
        ("ai.operationId", Text("ai.generateText.doGenerate")),
        ("ai.model.id", Text("gpt-4o")),
        ("ai.model.provider", Text("openai.chat")),
        ("ai.usage.inputTokens", Int(100)),
        ("ai.usage.cachedInputTokens", Text("40")),
        ("ai.usage.outputTokens", Int(50)),
        ("ai.telemetry.metadata.userId", Text("u3")),
    ]);
    assert_eq!(inner.class, "generation");
    assert_eq!(inner.provider.as_deref(), Some("openai"));
    assert_eq!(inner.usage, Usage { input: 60, cache_read: 40, output: 50, ..Usage::default() });
    assert_eq!(inner.user.as_deref(), Some("u3"));
    let around = facts(&[
        ("operation.name", Text("ai.generateText my-function")),
        ("ai.operationId", Text("ai.generateText")),
        ("ai.model.id", Text("gpt-4o")),
        ("ai.usage.inputTokens", Int(100)),
        ("ai.usage.outputTokens", Int(50)),
    ]);
    assert_eq!((around.class.as_str(), around.model), ("span", None));
    assert!(around.usage.is_empty());
    for operation in ["invoke_agent", "agent_step"] {
        let agent = facts(&[
            ("gen_ai.operation.name", Text(operation)),
            ("gen_ai.usage.input_tokens", Int(100)),
            ("gen_ai.usage.cost", Double(0.5)),
            ("gen_ai.request.model", Text("gpt-4o")),
        ]);
        assert!(agent.usage.is_empty());
        assert_eq!((agent.model, agent.stated_cost_pico), (None, None));
    }
}

#[test]
fn a_request_of_litellm_states_its_cost() {
    let facts = facts(&[
        ("langfuse.observation.type", Text("generation")),
        ("openinference.span.kind", Text("LLM")),
        ("llm.cost.total", Double(0.007_5)),
        ("gen_ai.usage.cost", Text("0.00750000000000001")),
        ("llm.token_count.prompt", Text("12")),
    ]);
    assert_eq!(facts.stated_cost_pico, Some(7_500_000_000));
    assert_eq!(facts.usage.input, 12);
}

#[test]
fn classes_follow_langfuses_order() {
    let class = |attributes: &[(&str, Added<'_>)]| facts(attributes).class;
    assert_eq!(class(&[("gen_ai.tool.name", Text("search"))]), "tool");
    assert_eq!(class(&[("gen_ai.operation.name", Text("embeddings"))]), "embedding");
    assert_eq!(class(&[("gen_ai.operation.name", Text("execute_tool"))]), "tool");
    assert_eq!(class(&[("traceloop.span.kind", Text("workflow"))]), "chain");
    assert_eq!(class(&[("model", Text("x"))]), "generation");
    assert_eq!(class(&[("ai.operationId", Text("ai.toolCall"))]), "tool");
    assert_eq!(
        class(&[("langfuse.observation.type", Text("nonsense")), ("model", Text("x"))]),
        "generation"
    );
}

#[test]
fn a_failed_span_is_an_error() {
    assert!(facts(&[("langfuse.observation.level", Text("ERROR"))]).is_error);
    let mut failed = span(&[]);
    let mut status = Vec::new();
    put_number(&mut status, 3, 2);
    put_bytes(&mut failed, 15, &status);
    put_bytes(&mut failed, 4, &[1; 8]);
    let facts = of_span(&SpanView::parse(&failed).unwrap(), &ResourceFacts::default());
    assert!(facts.is_error && !facts.is_root);
}

#[test]
fn an_environment_comes_from_the_resource_too() {
    let environment = |resource: &[(&str, &str)], own: &[(&str, Added<'_>)]| {
        let mut bytes = Vec::new();
        for (key, value) in resource {
            add_to_resource(&mut bytes, key, Text(value));
        }
        let resource = ResourceFacts::of(&bytes);
        of_span(&SpanView::parse(&span(own)).unwrap(), &resource).environment
    };
    let name = "deployment.environment.name";
    assert_eq!(environment(&[(name, "prod")], &[]).as_deref(), Some("prod"));
    assert_eq!(environment(&[(name, "prod")], &[(name, Text("dev"))]).as_deref(), Some("dev"));
    assert_eq!(
        environment(&[("langfuse.environment", "a")], &[(name, Text("b"))]).as_deref(),
        Some("a")
    );
    assert_eq!(environment(&[], &[]), None);
}

#[test]
fn environments_have_langfuses_form() {
    assert_eq!(normal_environment("Production"), "production");
    assert_eq!(normal_environment("langfuselangfuse-x"), "x");
    assert_eq!(normal_environment("langfuse"), "default");
    assert_eq!(normal_environment("a b"), "default");
    assert_eq!(normal_environment(&"x".repeat(50)), "x".repeat(40));
}

#[test]
fn metadata_is_bounded() {
    let long = "x".repeat(1_025);
    let names: Vec<_> = (0..100).map(|index| format!("langfuse.trace.metadata.k{index}")).collect();
    let mut attributes = vec![("langfuse.trace.metadata.long", Text(&long))];
    attributes.extend(names.iter().map(|name| (name.as_str(), Int(1))));
    let metadata = facts(&attributes).metadata;
    assert_eq!(metadata.len(), 64);
    assert!(!metadata.contains_key("long"));
}

/// Reads a request of 100 spans with 10 attributes each, and prints how long that takes.
#[test]
fn a_hundred_spans_are_read_quickly() {
    use crate::observe::event::Scope;
    use crate::observe::otlp::export::Export;
    use crate::observe::otlp::request::ExportRequest;
    let one = span(&[
        ("gen_ai.system", Text("openai")),
        ("gen_ai.operation.name", Text("chat")),
        ("gen_ai.request.model", Text("gpt-4o")),
        ("gen_ai.response.model", Text("gpt-4o-2024-08-06")),
        ("gen_ai.usage.input_tokens", Int(1_000)),
        ("gen_ai.usage.output_tokens", Int(500)),
        ("user.id", Text("user-17")),
        ("session.id", Text("session-4711")),
        ("http.route", Text("/v1/chat/completions")),
        ("gen_ai.input.messages", Text(&"What is the weather like in Berlin? ".repeat(5))),
    ]);
    let scope = Scope::default();
    let mut export = Export::new();
    for _ in 0..100 {
        export.push(&scope, &one);
    }
    let body = export.build();
    let mut best = std::time::Duration::MAX;
    let mut best_parse = best;
    for _ in 0..200 {
        let start = std::time::Instant::now();
        let request = ExportRequest::parse(&body, 1_000).unwrap();
        let resource = ResourceFacts::of(&request.scopes[0].resource);
        let parsed = start.elapsed();
        let facts: Vec<_> =
            request.spans.iter().map(|(_, span)| of_span(span, &resource)).collect();
        best = best.min(start.elapsed());
        best_parse = best_parse.min(parsed);
        assert_eq!(facts.iter().map(|facts| facts.usage.input).sum::<u64>(), 100_000);
    }
    println!("100 spans of 10 attributes: {best:?} {best_parse:?}");
}
