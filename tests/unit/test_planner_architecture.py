"""What a model's own files say of its shape agrees with the catalogue."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.model_shape import Servers
from ansible_collections.onprem.llm.plugins.module_utils.model_shape import shape_of as shape_of_source
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import built_in, load
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.from_config import architecture_from_config, quantisation_from_config
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.from_gguf import architecture_from_gguf
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.gguf_shape import GgufShape, gguf_shape
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.resolve import resolve
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import F32, Tensor, keys, write_gguf

QWEN = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "max_position_embeddings": 32768, "num_attention_heads": 28,
    "num_hidden_layers": 28, "num_key_value_heads": 4, "sliding_window": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "use_sliding_window": False, "vocab_size": 152064,
}  # fmt: skip
# config.json as on Hugging Face, without the keys that say nothing of memory.
CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2.5:7b": QWEN,
    "mixtral:8x7b": {
        "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8, "num_local_experts": 8,
        "sliding_window": None,
        "tie_word_embeddings": False, "vocab_size": 32000,
    },
    "qwen3:30b": {
        "model_type": "qwen3_moe", "head_dim": 128, "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960,
        "moe_intermediate_size": 768, "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48,
        "num_key_value_heads": 4, "tie_word_embeddings": False, "vocab_size": 151936,
    },
    "deepseek-v3:671b": {
        "model_type": "deepseek_v3", "first_k_dense_replace": 3, "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
        "max_position_embeddings": 163840, "moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1,
        "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "tie_word_embeddings": False, "v_head_dim": 128, "vocab_size": 129280,
    },
    "gpt-oss:20b": {
        "model_type": "gpt_oss", "head_dim": 64, "hidden_size": 2880, "intermediate_size": 2880, "max_position_embeddings": 131072,
        "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32,
        "layer_types": ["sliding_attention", "full_attention"] * 12, "sliding_window": 128, "tie_word_embeddings": False,
        "vocab_size": 201088,
    },
    "gemma3:1b": {
        "model_type": "gemma3_text", "head_dim": 256, "hidden_size": 1152, "intermediate_size": 6912, "max_position_embeddings": 32768,
        "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1, "sliding_window": 512, "sliding_window_pattern": 6,
        "vocab_size": 262144,
    },
    "exaone4.0-32b": {
        "model_type": "exaone4", "head_dim": 128, "hidden_size": 5120, "intermediate_size": 27392, "max_position_embeddings": 131072,
        "num_attention_heads": 40, "num_hidden_layers": 64, "num_key_value_heads": 8, "sliding_window": 4096,
        "sliding_window_pattern": "LLLG", "tie_word_embeddings": False, "vocab_size": 102400,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_read_as_the_catalogue_has_it(name: str) -> None:
    assert architecture_from_config(CONFIGS[name], "a test") == built_in().entries[name].architecture


@pytest.mark.parametrize("nothing", [None, [], {}, "text"])
def test_a_part_for_text_that_is_none_is_left_alone(nothing: object) -> None:
    config = {**QWEN, "text_config": nothing}
    assert architecture_from_config(config, "a test") == architecture_from_config(QWEN, "a test")


def test_a_config_with_pictures_keeps_the_text_apart() -> None:
    config = {
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024,
            "max_position_embeddings": 131072,
        },
        "vision_config": {"hidden_size": 1152},
    }  # fmt: skip
    assert architecture_from_config(config, "a test") == dataclasses.replace(built_in().entries["gemma3:4b"].architecture, vision=None)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, "bf16"),
        ({"torch_dtype": "float16"}, "f16"),
        ({"torch_dtype": "float16", "text_config": None}, "f16"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 8}}, "gptq-int8"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
    ],
)
def test_a_config_tells_its_format(change: dict[str, Any], wanted: str) -> None:
    assert quantisation_from_config({**QWEN, **change}, "a test") == wanted


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mamba"}, "a test has the model_type 'mamba', which the planner does not know"),
        ({"model_type": "qwen2"}, "a test has no num_hidden_layers: give the whole config.json"),
        ({**QWEN, "num_key_value_heads": 3}, "heads 28 must be a multiple of kv_heads 3"),
    ],
)
def test_a_config_that_says_too_little_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        architecture_from_config(config, "a test")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ModelError, match="is quantised by 'bitsandbytes' with None bits"):
        quantisation_from_config({**QWEN, "quantization_config": {"quant_method": "bitsandbytes"}}, "a test")


def smollm2(**changes: Any) -> dict[str, Any]:
    """Return the keys of SmolLM2-135M, as its GGUF file has them."""
    return keys(**{
        "llama.block_count": 30, "llama.context_length": 8192, "llama.embedding_length": 576, "llama.feed_forward_length": 1536,
        "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3, "llama.vocab_size": 49152, **changes,
    })  # fmt: skip


def read_shape(path: str) -> GgufShape:
    """Return what the module tells of a file, as the planner reads it."""
    shape = gguf_shape(shape_of_source(f"file:{path}", Servers(Access(), Access())).told())
    assert shape
    return shape


def test_a_header_is_read_as_the_catalogue_has_it(tmp_path: Path) -> None:
    shape = read_shape(str(write_gguf(tmp_path / "a.gguf", kv=smollm2())))
    assert (shape.file_type, shape.vocabulary, shape.has_output, shape.vision_parameters) == ("Q4_1", 3, False, 0)
    assert architecture_from_gguf(shape, "a test") == built_in().entries["smollm2:135m"].architecture


def test_a_header_tells_output_vocabulary_and_vision(tmp_path: Path) -> None:
    tensors = (Tensor(), Tensor("output.weight", (8, 3), F32), Tensor("v.blk.0.attn_q.weight", (8, 4), F32), Tensor("mm.input", (8,), F32))
    shape = read_shape(str(write_gguf(tmp_path / "a.gguf", kv=smollm2(llama__vocab_size=None), tensors=tensors)))
    arch = architecture_from_gguf(shape, "a test")
    assert (arch.tied, arch.vocab) == (False, 3)
    assert arch.vision
    assert arch.vision.parameters == 40


def shape_of(kind: str, **values: int) -> GgufShape:
    found: dict[str, int | float] = {f"{kind}.{key.replace('__', '.')}": value for key, value in values.items()}
    return GgufShape(kind, "Q4_K_M", 10**9, 10**9, 1000, True, 0, 0, found)


def test_latent_attention_in_old_and_new_files() -> None:
    shared = {
        "block_count": 27, "embedding_length": 2048, "feed_forward_length": 10944, "attention__head_count": 16, "expert_count": 64,
        "expert_used_count": 6, "expert_feed_forward_length": 1408, "expert_shared_count": 2, "leading_dense_block_count": 1,
        "attention__kv_lora_rank": 512, "rope__dimension_count": 64, "vocab_size": 102400, "context_length": 163840,
    }  # fmt: skip
    old = shape_of("deepseek2", **shared, attention__head_count_kv=16, attention__key_length=192, attention__value_length=128)
    new = shape_of(
        "deepseek2", **shared, attention__head_count_kv=1, attention__key_length=576, attention__value_length=512,
        attention__key_length_mla=192, attention__value_length_mla=128,
    )  # fmt: skip
    wanted = built_in().entries["deepseek-v2:16b"].architecture
    assert architecture_from_gguf(old, "a test") == wanted
    assert architecture_from_gguf(new, "a test") == dataclasses.replace(wanted, kv_heads=1, latent_gguf=True)


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [("qwen2.5:3b", "Q4_K_M"), ("qwen2.5:7b", "Q4_K_M"), ("llama3.2:1b", "Q8_0"), ("llama2:7b", "Q4_0"), ("gemma3:1b", "Q4_K_M")],
)
def test_headers_of_known_models_are_as_the_catalogue_has_them(name: str, quantisation: str) -> None:
    arch = built_in().entries[name].architecture
    values = {
        "block_count": arch.layers, "embedding_length": arch.hidden, "feed_forward_length": arch.ffn, "attention__head_count": arch.heads,
        "attention__head_count_kv": arch.kv_heads, "attention__key_length": arch.head_dim, "attention__sliding_window": arch.window,
        "vocab_size": arch.vocab, "context_length": arch.max_context,
    }  # fmt: skip
    size = built_in().entries[name].known_bytes(quantisation.lower())
    assert size
    shape = dataclasses.replace(shape_of(arch.kind, **values), file_type=quantisation, file_bytes=size, has_output=not arch.tied)
    assert architecture_from_gguf(shape, "a test") == arch


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (shape_of("mamba", block_count=1), "a test has the architecture 'mamba', which the planner does not know"),
        (shape_of("llama", block_count=1), "a test names no number of attention heads"),
        (shape_of("llama", embedding_length=64, attention__head_count=1), "layers must be a whole number of at least 1"),
    ],
)
def test_a_header_that_says_too_little_is_refused(shape: GgufShape, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        architecture_from_gguf(shape, "a test")


@pytest.mark.parametrize(
    ("reference", "entry", "quantisation", "size", "gguf"),
    [
        ("ollama:qwen2.5:7b", "qwen2.5:7b", "q4_k_m", 4683073952, True),
        ("ollama:qwen2.5:7b-instruct-q4_K_M", "qwen2.5:7b", "q4_k_m", 4683073952, True),
        ("ollama:qwen2.5:7b-instruct-q8_0", "qwen2.5:7b", "q8_0", None, True),
        ("ollama:registry.example:5000/team/qwen2.5:7b", "qwen2.5:7b", "q4_k_m", None, True),
        ("ollama:gpt-oss:20b", "gpt-oss:20b", "mxfp4", 13780154624, True),
        ("ollama:phi4-reasoning:14b", "phi4-reasoning:14b", "q4_k_m", 11117500000, True),
        ("hf:Qwen/Qwen2.5-7B-Instruct", "qwen2.5:7b", "bf16", None, False),
        ("hf:Qwen/Qwen2.5-7B-Instruct-AWQ", "qwen2.5:7b", "awq", None, False),
        ("hf:Qwen/Qwen3-30B-A3B-FP8", "qwen3:30b", "fp8", None, False),
        ("hf:deepseek-ai/DeepSeek-V3", "deepseek-v3:671b", "fp8", None, False),
        ("hf:bartowski/Meta-Llama-3.1-8B-Instruct-GGUF#Meta-Llama-3.1-8B-Instruct-Q5_K_M.gguf", "llama3.1:8b", "q5_k_m", None, True),
        ("file:/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2:135m", "q4_1", None, True),
        ("file:/srv/in/Qwen2.5-7B-Instruct", "qwen2.5:7b", "bf16", None, False),
    ],
)
def test_a_reference_becomes_numbers(reference: str, entry: str, quantisation: str, size: int | None, gguf: bool) -> None:
    found = resolve(reference, built_in())
    assert found.entry
    assert (found.entry.id, found.quantisation, found.weight_bytes, found.is_gguf) == (entry, quantisation, size, gguf)


def test_its_own_files_come_first(tmp_path: Path) -> None:
    header = read_shape(str(write_gguf(tmp_path / "a.gguf", kv=smollm2(general__file_type=999))))
    by_header = resolve("file:/srv/in/qwen2.5-7b.gguf", built_in(), gguf_header=header)
    assert (by_header.architecture.layers, by_header.weight_bytes, by_header.is_gguf) == (30, header.file_bytes, True)
    by_config = resolve("hf:us/our-tune", built_in(), config={**QWEN, "torch_dtype": "float16"})
    assert (by_config.entry, by_config.architecture.layers, by_config.quantisation, by_config.is_gguf) == (None, 28, "f16", False)


def test_a_model_that_nobody_knows_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"The model 'hf:us/our-tune' is not in the catalogue, .* add it to llm_catalogue_extra"):
        resolve("hf:us/our-tune", built_in())
    part = dataclasses.replace(read_shape(str(write_gguf(tmp_path / "a.gguf", kv=smollm2()))), shards=2)
    with pytest.raises(ModelError, match="is one of 2 files, so its header does not describe the whole model"):
        resolve("file:/srv/in/our-tune.gguf", built_in(), gguf_header=part)
    with pytest.raises(ModelError, match="add it to llm_catalogue_extra"):
        resolve("ollama:our-tune:7b", load([{"id": "other", "like": "qwen2.5:7b"}]))
