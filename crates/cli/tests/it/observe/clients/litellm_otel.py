"""LiteLLM with its callback `langfuse_otel`: `litellm_otel.py COUNT` makes COUNT completions whose
answers are given beforehand, so that it speaks to nobody but GATEWAY_URL, and prints what it sent
as one line of JSON. It states costs of its own."""

import json
import os
import sys

os.environ["LANGFUSE_PUBLIC_KEY"] = os.environ["PUBLIC_KEY"]
os.environ["LANGFUSE_SECRET_KEY"] = os.environ["SECRET_KEY"]
os.environ["LANGFUSE_OTEL_HOST"] = os.environ["GATEWAY_URL"]
# The price map that came with the package; otherwise it is fetched from the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402
from litellm.litellm_core_utils.thread_pool_executor import executor  # noqa: E402
from litellm.types.utils import PromptTokensDetailsWrapper, Usage  # noqa: E402


def answer(model):
    details = PromptTokensDetailsWrapper(cached_tokens=400)
    usage = Usage(prompt_tokens=1000, completion_tokens=500, total_tokens=1500,
                  prompt_tokens_details=details)
    choice = {"message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}
    return litellm.ModelResponse(model=model, choices=[choice], usage=usage)


def main():
    litellm.callbacks = ["langfuse_otel"]
    litellm.suppress_debug_info = True
    sent = []
    for number in range(int(sys.argv[1])):
        user, session = f"litellm-user-{number % 3}", f"litellm-session-{number % 2}"
        response = litellm.completion(
            model="gpt-4o",
            messages=[{"role": "user", "content": f"question {number}"}],
            mock_response=answer("gpt-4o"),
            metadata={"trace_user_id": user, "session_id": session, "trace_name": "conversation"},
        )
        stated = response._hidden_params.get("response_cost")
        sent.append({"model": "gpt-4o", "user": user, "session": session, "stated": stated})
    # Callbacks run on threads of LiteLLM's own; its exporter sends the rest when Python ends.
    executor.shutdown(wait=True)
    print(json.dumps({"client": "litellm", "completions": sent}))


main()
