"""Langfuse's SDK of today, which speaks OTLP: `langfuse5.py COUNT` sends COUNT traces of three
observations and a score each to GATEWAY_URL and prints what it sent as one line of JSON."""

import json
import os
import sys

from langfuse import Langfuse, propagate_attributes

# Langfuse's usage details do not overlap: each count is priced by itself.
GENERATIONS = [
    ("gpt-4o", {"input": 600, "input_cached_tokens": 400, "output": 500}),
    ("claude-sonnet-4-5", {"input": 300, "cache_read_input_tokens": 600,
                           "cache_creation_input_tokens": 100, "output": 500}),
    ("windlass-unpriced", {"input": 10, "output": 5}),
]

spans, scores = [], []


def note(observation, name, kind, parent, user, session, model=None):
    spans.append({
        "trace": observation.trace_id,
        "span": observation.id,
        "parent": parent,
        "name": name,
        "type": kind,
        "model": model,
        "user": user,
        "session": session,
    })


def main():
    langfuse = Langfuse(
        public_key=os.environ["PUBLIC_KEY"],
        secret_key=os.environ["SECRET_KEY"],
        base_url=os.environ["GATEWAY_URL"],
        environment="tests",
    )
    for number in range(int(sys.argv[1])):
        user, session = f"langfuse-user-{number % 3}", f"langfuse-session-{number % 2}"
        model, usage = GENERATIONS[number % 3]
        with propagate_attributes(
            user_id=user, session_id=session, trace_name="conversation", tags=["tests"]
        ):
            with langfuse.start_as_current_observation(
                as_type="span", name="answer", input={"question": number}
            ) as root:
                note(root, "answer", "span", None, user, session)
                with langfuse.start_as_current_observation(
                    as_type="retriever", name="retrieve"
                ) as retrieve:
                    retrieve.update(output=["document"])
                    note(retrieve, "retrieve", "retriever", root.id, user, session)
                with langfuse.start_as_current_observation(
                    as_type="generation", name="chat", model=model, input=[{"role": "user"}]
                ) as chat:
                    chat.update(output={"role": "assistant"}, usage_details=usage)
                    note(chat, "chat", "generation", root.id, user, session, model)
                score = f"langfuse-score-{os.getpid()}-{number}"
                langfuse.create_score(
                    score_id=score, trace_id=root.trace_id, name="helpful", value=number % 2 + 0.5
                )
                scores.append(score)
                root.update(output="done")
    langfuse.flush()
    langfuse.shutdown()
    print(json.dumps({"client": "langfuse 5", "spans": spans, "scores": scores, "messages": []}))


main()
