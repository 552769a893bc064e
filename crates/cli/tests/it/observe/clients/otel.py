"""OpenTelemetry's own SDK with the GenAI conventions: `otel.py COUNT` sends COUNT traces of three
spans to GATEWAY_URL and prints what it sent as one line of JSON."""

import json
import os
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

# In these conventions the input includes what came from the cache and what went into it.
GENERATIONS = [
    ("openai", "gpt-4o", {"input_tokens": 1000, "cache_read.input_tokens": 400,
                          "output_tokens": 500}),
    ("anthropic", "claude-sonnet-4-5", {"input_tokens": 1000, "cache_read.input_tokens": 600,
                                        "cache_creation.input_tokens": 100,
                                        "output_tokens": 500}),
    ("nobody", "windlass-unpriced", {"input_tokens": 10, "output_tokens": 5}),
]

sent = []


def note(span, kind, parent, user, session, model=None):
    context = span.get_span_context()
    sent.append({
        "trace": format(context.trace_id, "032x"),
        "span": format(context.span_id, "016x"),
        "parent": None if parent is None else format(parent.get_span_context().span_id, "016x"),
        "name": span.name,
        "type": kind,
        "model": model,
        "user": user,
        "session": session,
    })


def main():
    url, count = os.environ["GATEWAY_URL"], int(sys.argv[1])
    exporter = OTLPSpanExporter(
        endpoint=f"{url}/v1/traces",
        headers={"Authorization": "Bearer " + os.environ["SECRET_KEY"]},
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "otel-client"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("windlass.tests")
    for number in range(count):
        user, session = f"otel-user-{number % 3}", f"otel-session-{number % 2}"
        provider_name, model, usage = GENERATIONS[number % 3]
        shared = {"user.id": user, "session.id": session}
        with tracer.start_as_current_span("answer", attributes=shared) as root:
            note(root, "span", None, user, session)
            with tracer.start_as_current_span("retrieve", attributes=shared) as retrieve:
                retrieve.add_event("found", {"documents": 3})
                retrieve.set_status(Status(StatusCode.OK))
                note(retrieve, "span", root, user, session)
            with tracer.start_as_current_span(
                f"chat {model}", kind=SpanKind.CLIENT, attributes=shared
            ) as chat:
                chat.set_attribute("gen_ai.operation.name", "chat")
                chat.set_attribute("gen_ai.provider.name", provider_name)
                chat.set_attribute("gen_ai.request.model", model)
                chat.set_attribute("gen_ai.response.model", model)
                for name, tokens in usage.items():
                    chat.set_attribute(f"gen_ai.usage.{name}", tokens)
                note(chat, "generation", root, user, session, model)
    if not provider.force_flush(30_000):
        sys.exit("the spans could not be flushed")
    provider.shutdown()
    print(json.dumps({"client": "opentelemetry", "spans": sent, "scores": [], "messages": []}))


main()
