"""Langfuse's SDK of before OpenTelemetry, which speaks JSON: `langfuse2.py COUNT` sends COUNT
traces of two observations and a score each to GATEWAY_URL and prints what it sent as one line of
JSON. Creations and updates travel apart, as in real applications."""

import json
import os
import sys
import uuid

from langfuse import Langfuse

# The three shapes that this SDK takes: OpenAI's, Langfuse's, and the one from before both.
GENERATIONS = [
    ("gpt-4o", {"usage_details": {
        "prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 400},
    }}),
    ("claude-sonnet-4-5", {"usage_details": {
        "input": 300, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 100,
        "output": 500,
    }}),
    ("windlass-unpriced", {"usage": {"input": 10, "output": 5, "unit": "TOKENS"}}),
]


def main():
    langfuse = Langfuse(
        public_key=os.environ["PUBLIC_KEY"],
        secret_key=os.environ["SECRET_KEY"],
        host=os.environ["GATEWAY_URL"],
        # Small batches, so that parts of one observation come in different requests.
        flush_at=4,
    )
    spans, scores = [], []
    for number in range(int(sys.argv[1])):
        user, session = f"old-user-{number % 3}", f"old-session-{number % 2}"
        model, usage = GENERATIONS[number % 3]
        trace_id = str(uuid.uuid4())
        trace = langfuse.trace(
            id=trace_id, name="conversation", user_id=user, session_id=session, tags=["tests"]
        )
        span = trace.span(name="answer", input={"question": number})
        generation = span.generation(name="chat", model=model, input=[{"role": "user"}])
        score = f"old-score-{os.getpid()}-{number}"
        langfuse.score(id=score, trace_id=trace_id, name="helpful", value=number % 2 + 0.5)
        scores.append(score)
        generation.update(completion_start_time=None, level="DEFAULT")
        generation.end(output={"role": "assistant"}, **usage)
        span.end(output="done")
        trace.update(output="done")
        shared = {"trace": trace_id, "user": user, "session": session}
        spans.append({**shared, "span": span.id, "parent": None, "name": "answer",
                      "type": "span", "model": None})
        spans.append({**shared, "span": generation.id, "parent": span.id, "name": "chat",
                      "type": "generation", "model": model})
    langfuse.flush()
    langfuse.shutdown()
    print(json.dumps({"client": "langfuse 2", "spans": spans, "scores": scores, "messages": []}))


main()
