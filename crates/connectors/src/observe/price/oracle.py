"""Costs as LiteLLM computes them, for the tests of the price map: writes oracle.tsv.

Run it with the version of LiteLLM whose map is built in, in an environment of its own:

    python3 -m venv environment
    environment/bin/pip install litellm==1.109.1
    environment/bin/python crates/connectors/src/observe/price/oracle.py

The cases are chosen from the map by fixed rules, so that a run of the same version writes the same
file. Each row has the tokens in disjoint buckets, as we count them, and what LiteLLM's calculators
(`cost_per_token`, `batch_cost_calculator`, and `generic_cost_per_token` where a moment matters)
say in US dollars. No request is made.
"""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import datetime
import importlib.metadata
import json
import pathlib
import re

import litellm
from litellm.cost_calculator import batch_cost_calculator, cost_per_token
from litellm.litellm_core_utils.llm_cost_calc.utils import generic_cost_per_token
from litellm.types.utils import (
    CacheCreationTokenDetails,
    CompletionTokensDetailsWrapper,
    PromptTokensDetailsWrapper,
    Usage,
)

litellm.suppress_debug_info = True
FILE = pathlib.Path(litellm.__file__).parent / "model_prices_and_context_window_backup.json"
MAP = {k: v for k, v in json.loads(FILE.read_text()).items() if "litellm_provider" in v}
BUCKETS = [
    "input", "cache_read", "cache_write", "cache_write_1h", "audio_input",
    "output", "reasoning", "audio_output",
]
MODES = ("chat", "responses", "completion", "embedding", "realtime")
# Providers whose calculators leave out what the map has prices for; tests.rs says how we differ.
SPECIAL = ("perplexity", "fireworks_ai")
PLAIN = dict(input=1000, output=500)
CACHED = dict(input=300, cache_read=600, cache_write=100, output=500)
LARGE = dict(input=7_654_321, cache_read=1_234_567, output=987_654)


def provider_of(key):
    name = MAP[key]["litellm_provider"]
    if name.startswith("vertex_ai"):
        return "vertex_ai"
    return "bedrock" if name == "bedrock_converse" else name


def model_of(key):
    return key.removeprefix(provider_of(key) + "/")


def usage_of(tokens):
    at = lambda name: tokens.get(name, 0)
    prompt = sum(at(name) for name in BUCKETS[:5])
    completion = sum(at(name) for name in BUCKETS[5:])
    written = at("cache_write") + at("cache_write_1h")
    details = None
    if written:
        details = CacheCreationTokenDetails(
            ephemeral_5m_input_tokens=at("cache_write"),
            ephemeral_1h_input_tokens=at("cache_write_1h"),
        )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetailsWrapper(
            cached_tokens=at("cache_read"),
            cache_creation_tokens=written,
            cache_creation_token_details=details,
            audio_tokens=at("audio_input"),
        ),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            reasoning_tokens=at("reasoning"), audio_tokens=at("audio_output")
        ),
    )


def cost(key, tokens, tier, moment):
    provider, usage = provider_of(key), usage_of(tokens)
    if tier == "batch":
        return batch_cost_calculator(usage, model_of(key), provider)
    if moment:
        at = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
        return generic_cost_per_token(
            model=model_of(key), usage=usage, custom_llm_provider=provider, current_time=at
        )
    return cost_per_token(
        model=model_of(key),
        custom_llm_provider=provider,
        usage_object=usage,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        service_tier=tier or None,
    )


rows, seen = [], set()


def add(key, tokens, tier="", moment=0):
    identity = (key, tuple(sorted(tokens.items())), tier, moment)
    if identity in seen:
        return
    seen.add(identity)
    info = litellm.get_model_info(model=model_of(key), custom_llm_provider=provider_of(key))
    if info["key"] != key:
        # LiteLLM itself finds another entry under this name and provider.
        return
    try:
        spent = cost(key, tokens, tier, moment)
    except Exception as error:
        print("left out:", key, str(error)[:80])
        return
    counts = [str(tokens.get(name, 0)) for name in BUCKETS]
    rows.append(
        [provider_of(key), model_of(key), key, tier, str(moment), *counts]
        + [f"{part:.15f}" for part in spent]
    )


def has(key, *fields):
    return all(MAP[key].get(field) is not None for field in fields)


def is_plain(key):
    entry = MAP[key]
    return (
        entry.get("mode") in MODES
        and has(key, "input_cost_per_token", "output_cost_per_token")
        and "tiered_pricing" not in entry
        and "off_peak_pricing" not in entry
        and not any("per_character" in field or "per_second" in field for field in entry)
        and entry["litellm_provider"] not in SPECIAL
    )


def thresholds(key):
    found = (re.search(r"_above_(\d+)k_tokens", field) for field in MAP[key])
    return sorted({int(match[1]) * 1000 for match in found if match})


def well_known():
    for key in (
        "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "o3", "o4-mini", "gpt-4o-audio-preview",
        "claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5", "claude-3-7-sonnet-20250219",
        "gemini/gemini-2.5-pro", "gemini/gemini-2.5-flash", "gemini-2.5-pro", "xai/grok-4.5",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "azure/gpt-4o", "mistral/mistral-large-latest",
        "deepseek/deepseek-reasoner", "groq/llama-3.3-70b-versatile", "text-embedding-3-small",
        "cohere.command-r-plus-v1:0", "databricks/databricks-claude-sonnet-4-5",
    ):
        if key in MAP and is_plain(key):
            for tokens in (PLAIN, CACHED, LARGE, dict(input=1), dict(output=1)):
                add(key, tokens)


def every_provider():
    by_provider = {}
    for key in sorted(MAP):
        if is_plain(key):
            by_provider.setdefault(MAP[key]["litellm_provider"], []).append(key)
    for keys in by_provider.values():
        for index, key in enumerate((keys[0], keys[len(keys) // 2], keys[-1])):
            add(key, CACHED if index == 1 else PLAIN)


def both_sides_of_thresholds():
    count = {}
    for key in sorted(MAP):
        if not is_plain(key):
            continue
        for threshold in thresholds(key):
            # Vertex AI's calculator has a rule of its own for the oldest threshold.
            group = (MAP[key]["litellm_provider"], threshold)
            if threshold == 128_000 or count.get(group, 0) >= 2:
                continue
            count[group] = count.get(group, 0) + 1
            add(key, dict(input=threshold - 1, output=321))
            for prompt in (threshold, threshold + 1):
                add(key, dict(input=prompt, output=321))
                add(key, dict(input=prompt - 1500, cache_read=1000, cache_write=500, output=321))


def tiers():
    for tier in ("priority", "flex", "balanced", "ultrafast", "fast"):
        suffix = "priority" if tier == "fast" else tier
        count = {}
        for key in sorted(MAP):
            group = MAP[key]["litellm_provider"], bool(thresholds(key))
            if not is_plain(key) or group[0] == "xai" or count.get(group, 0) >= 3:
                continue
            if not any(field.endswith("_" + suffix) for field in MAP[key]):
                continue
            count[group] = count.get(group, 0) + 1
            add(key, PLAIN, tier)
            add(key, CACHED, tier)
            add(key, dict(input=900_000, cache_read=5, cache_write=3, output=77), tier)
    for key in ("gpt-4o", "claude-sonnet-4-5", "gemini/gemini-2.5-pro"):
        for tier in ("default", "auto", "standard"):
            add(key, CACHED, tier)


def batches():
    count = {}
    for key in sorted(MAP):
        group = MAP[key]["litellm_provider"], bool(thresholds(key))
        if is_plain(key) and has(key, "input_cost_per_token_batches", "output_cost_per_token_batches"):
            count[group] = count.get(group, 0) + 1
            if count[group] <= 4:
                add(key, PLAIN, "batch")
                add(key, CACHED, "batch")
                add(key, dict(input=900_000, cache_read=5, output=77, reasoning=5), "batch")


def ranges():
    has_ranges = lambda key: any("range" in tier for tier in MAP[key].get("tiered_pricing") or [])
    keys = [key for key in sorted(MAP) if has_ranges(key)]
    for key in keys[::4]:
        ends = [int(tier["range"][1]) for tier in MAP[key]["tiered_pricing"]]
        for end in ends:
            for prompt in (end, end + 1):
                add(key, dict(input=prompt, output=100))
                add(key, dict(input=prompt - 10, cache_read=10, output=100, reasoning=40))


def parts():
    wanted = {
        "output_cost_per_reasoning_token": dict(input=100, output=50, reasoning=700),
        "input_cost_per_audio_token": dict(input=100, audio_input=400, output=50),
        "output_cost_per_audio_token": dict(input=100, audio_input=40, output=50, audio_output=90),
        "cache_creation_input_token_cost_above_1hr":
            dict(input=100, cache_read=9, cache_write=400, cache_write_1h=250, output=50),
    }
    for field, tokens in wanted.items():
        count = {}
        for key in sorted(MAP):
            group = MAP[key]["litellm_provider"]
            if is_plain(key) and has(key, field) and count.get(group, 0) < 3:
                count[group] = count.get(group, 0) + 1
                add(key, tokens)
                if thresholds(key):
                    add(key, {**tokens, "input": 900_000})
    for key in ("gpt-5", "xai/grok-4.5", "gemini/gemini-2.5-pro", "claude-sonnet-4-5"):
        if key in MAP:
            add(key, dict(input=10, output=20, reasoning=30))


def combinations():
    """Where one price stands in for another, or a tier has only some of the prices."""
    count = {}
    written = "cache_creation_input_token_cost"
    for key in sorted(MAP):
        group = MAP[key]["litellm_provider"]
        if is_plain(key) and has(key, written) and not has(key, written + "_above_1hr"):
            count[group] = count.get(group, 0) + 1
            if count[group] <= 2:
                add(key, dict(input=100, cache_write=400, cache_write_1h=250, output=50))
    tokens = dict(input=100, audio_input=300, output=50, reasoning=700, audio_output=9)
    special = ("output_cost_per_reasoning_token", "input_cost_per_audio_token")
    for suffix in ("priority", "flex", "balanced", "ultrafast"):
        for field in special:
            count = {}
            for key in sorted(MAP):
                group = MAP[key]["litellm_provider"]
                is_tiered = any(name.endswith("_" + suffix) for name in MAP[key])
                if is_plain(key) and has(key, field) and is_tiered and group != "xai":
                    count[group] = count.get(group, 0) + 1
                    if count[group] <= 3:
                        add(key, tokens, suffix)


def cheap_hours():
    monday = int(datetime.datetime(2026, 11, 16, tzinfo=datetime.timezone.utc).timestamp())
    keys = [key for key in sorted(MAP) if MAP[key].get("off_peak_pricing")]
    for key in keys:
        for hours in (0, 1, 5, 6, 9, 10, 23, 27, 4 * 24 + 17, 5 * 24 + 3, 6 * 24 + 17):
            moment = monday + hours * 3600
            tokens = dict(input=1000, cache_read=700, cache_write=50, output=90, reasoning=33)
            add(key, tokens, moment=moment)


for rule in (
    well_known, every_provider, both_sides_of_thresholds, tiers, batches, ranges, parts,
    combinations, cheap_hours,
):
    before = len(rows)
    rule()
    print(rule.__name__, len(rows) - before)

head = ["provider", "model", "key", "tier", "moment", *BUCKETS, "input_usd", "output_usd"]
version = importlib.metadata.version("litellm")
lines = [f"# litellm {version}, {len(rows)} cases, written by oracle.py", "\t".join(head)]
lines += ["\t".join(row) for row in rows]
pathlib.Path(__file__).with_name("oracle.tsv").write_text("\n".join(lines) + "\n")
