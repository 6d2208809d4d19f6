"""What a model needs: the parts add up, and more of anything never needs less."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture, checked_architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.kv_cache import KV_TYPES
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Engine, Needs, needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import FORMATS, MIXES

LLAMA_8B: dict[str, Any] = {
    "kind": "llama", "layers": 32, "heads": 32, "kv_heads": 8, "head_dim": 128, "hidden": 4096, "ffn": 14336, "vocab": 128256,
}  # fmt: skip
GPT_OSS = {
    "kind": "gpt-oss", "layers": 24, "heads": 64, "kv_heads": 8, "head_dim": 64, "hidden": 2880, "ffn": 2880, "vocab": 201088,
    "experts": 32, "experts_per_token": 4, "expert_ffn": 2880, "window": 128, "local_layers": 12,
}  # fmt: skip
DEEPSEEK = {
    "kind": "deepseek2", "layers": 27, "heads": 16, "kv_heads": 16, "head_dim": 192, "hidden": 2048, "ffn": 10944, "vocab": 102400,
    "experts": 64, "experts_per_token": 6, "expert_ffn": 1408, "shared_experts": 2, "dense_first_layers": 1,
    "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
}  # fmt: skip
GEMMA = {
    "kind": "gemma3", "layers": 34, "heads": 8, "kv_heads": 4, "head_dim": 256, "hidden": 2560, "ffn": 10240, "vocab": 262208, "tied": True,
    "window": 1024, "local_layers": 29, "vision": {"parameters": 419816304, "heads": 16, "patches": 4096},
}  # fmt: skip
ARCHITECTURES = [checked_architecture(values, "a test") for values in (LLAMA_8B, GPT_OSS, DEEPSEEK, GEMMA)]
# Each needs at most as much as the next. Q2_K is not among them: where rows do not fill its blocks it falls back to more bits than Q3_K_S.
GGUF_ORDER = ("q3_k_s", "q4_0", "q4_k_s", "q4_k_m", "q5_k_m", "q6_k", "q8_0", "f16", "f32")
HUB_ORDER = ("awq", "gptq-int8", "bf16", "f32")
ENGINES: tuple[tuple[Engine, tuple[str, ...]], ...] = (("ollama", GGUF_ORDER), ("vllm", HUB_ORDER))


def cases(count: int) -> list[dict[str, Any]]:
    """Return wishes drawn from a fixed seed, so that a failure comes back."""
    draw = random.Random(20261128)  # noqa: S311
    found = []
    for _case in range(count):
        engine, order = draw.choice(ENGINES)
        found.append({
            "arch": draw.choice(ARCHITECTURES), "engine": engine, "quantisation": draw.choice(order),
            "context": draw.choice((1, 17, 512, 2048, 4096, 4097, 8192, 32768, 131072)), "users": draw.choice((1, 2, 3, 8, 255, 256, 257)),
            "tensor_parallel": draw.choice((1, 2, 4, 8)), "pipeline_parallel": draw.choice((1, 2, 3)),
            "kv_type": draw.choice(tuple(KV_TYPES)), "device": draw.choice(("gpu", "cpu")),
        })  # fmt: skip
    return found


CASES = cases(400)


def in_memory(found: Needs) -> int:
    return found.gpu_bytes + found.ram_bytes


def test_the_parts_add_up() -> None:
    for wish in CASES:
        found = needs(**wish)
        parts = [*found.gpu_terms, *found.ram_terms, *found.disk_terms]
        assert sum(term.bytes for term in parts) == found.gpu_bytes + found.ram_bytes + found.disk_bytes == found.total, wish
        assert all(term.bytes >= 0 and term.formula and term.source and term.name for term in parts), wish
        assert bool(found.gpu_terms) == (wish["device"] == "gpu"), wish


@pytest.mark.parametrize(("key", "by"), [("context", 1), ("context", 4096), ("users", 1), ("users", 7)])
def test_more_tokens_never_need_less(key: str, by: int) -> None:
    for wish in CASES:
        assert in_memory(needs(**{**wish, key: wish[key] + by})) >= in_memory(needs(**wish)), wish


def test_fewer_bits_never_need_more() -> None:
    for wish in CASES:
        found = [needs(**{**wish, "quantisation": name}) for name in dict(ENGINES)[wish["engine"]]]
        for fewer, more in itertools.pairwise((one.gpu_bytes, one.ram_bytes, one.disk_bytes) for one in found):
            assert all(a <= b for a, b in zip(fewer, more, strict=True)), wish


@pytest.mark.parametrize("key", ["tensor_parallel", "pipeline_parallel"])
def test_more_gpus_never_need_more_of_each(key: str) -> None:
    for wish in CASES:
        assert needs(**{**wish, key: wish[key] + 1}).gpu_bytes <= needs(**{**wish, key: 1}).gpu_bytes, wish
        assert needs(**wish).gpu_bytes <= needs(**{**wish, "tensor_parallel": 1, "pipeline_parallel": 1}).gpu_bytes, wish


def test_known_terms() -> None:
    arch = ARCHITECTURES[0]
    found = {term.name: term for term in needs(arch, "bf16", "vllm", 8192, 4).gpu_terms}
    assert found["weights"].bytes == 2 * 8030261248
    assert found["KV cache"].bytes == 131072 * 8192 * 4
    assert found["KV cache"].formula == "32 layers x 4096 B x 8192 tokens in blocks of 16 x 4 users"
    assert needs(arch, "bf16", "vllm", 8192, 4, weight_bytes=10**10).disk_bytes == 10**10


def test_latent_attention_is_cached_as_the_engine_can() -> None:
    """Per token of DeepSeek-V2-Lite: 27 x 576 values with vLLM, 27 x 16 x 320 with Ollama and an old file (both seen in logs)."""
    arch = ARCHITECTURES[2]

    def cache(engine: Engine, shape: Architecture, quantisation: str) -> int:
        return next(term.bytes for term in needs(shape, quantisation, engine, 4096, 1).gpu_terms if term.name == "KV cache")

    assert cache("vllm", arch, "bf16") == 31104 * 4096
    assert cache("ollama", arch, "q4_0") == 27 * 16 * 320 * 2 * 4096
    assert cache("ollama", dataclasses.replace(arch, latent_gguf=True), "q4_0") == 31104 * 4096


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": 0}, "context must be at least 1, but it is 0"),
        ({"users": -1}, "users must be at least 1"),
        ({"quantisation": "q9"}, "The quantisation 'q9' is not known: use one of"),
        ({"quantisation": "awq"}, "Ollama serves GGUF files, but the quantisation is awq"),
        ({"engine": "vllm"}, "vLLM serves checkpoints of Hugging Face, but the quantisation is q4_k_m"),
        ({"engine": "tgi"}, "The engine must be one of ollama, vllm, but it is 'tgi'"),
        ({"kv_type": "q3"}, "The type of the KV cache must be one of"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    wish: dict[str, Any] = {"arch": ARCHITECTURES[0], "quantisation": "q4_K_M", "engine": "ollama", "context": 4096, "users": 1}
    with pytest.raises(ModelError, match=message):
        needs(**{**wish, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "mamba"}, "the architecture's kind must be one of .*, but it is 'mamba'"),
        ({"layers": 0}, "layers must be a whole number of at least 1, but it is 0"),
        ({"layers": True}, "layers must be a whole number"),
        ({"heads": 30}, "heads 30 must be a multiple of kv_heads 8"),
        ({"local_layers": 33, "window": 1}, "local_layers 33 must not exceed layers 32"),
        ({"window": 4096}, "window and local_layers go together"),
        ({"experts": 8}, "experts need experts_per_token and expert_ffn"),
        ({"kv_lora_rank": 512}, "kv_lora_rank needs qk_rope_head_dim"),
        ({"tied": "yes"}, "tied must be true or false, but it is 'yes'"),
        ({"tied_stored_twice": True}, "tied_stored_twice needs tied"),
        ({"vision": {"parameters": 1}}, "vision must have the whole numbers parameters, heads, patches"),
        ({"color": 1}, "the architecture has the unknown key 'color'"),
    ],
)
def test_an_impossible_architecture_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        checked_architecture({**LLAMA_8B, **change}, "my model")


def test_every_quantisation_has_a_size() -> None:
    for arch in ARCHITECTURES:
        assert all(needs(arch, name, "ollama", 4096, 1).total > 0 for name in MIXES)
        assert all(needs(arch, name, "vllm", 4096, 1).total > 0 for name in FORMATS)
