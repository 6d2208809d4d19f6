"""The catalogue: every entry is whole, its numbers agree with each other, and every spelling of a name finds it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import Entry
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import built_in, load, raw_entries, sources
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.names import hub_format_in, mix_in, other_quantisation_in, stem
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.tensors import active_parameters_of, parameters_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.weights import gguf_size

ENTRIES = tuple(built_in().entries.values())
# Official counts of active parameters that leave the input embedding out (openai/gpt-oss README).
WITHOUT_EMBEDDING = ("gpt-oss:20b", "gpt-oss:120b")
OWN: dict[str, Any] = {
    "id": "our-model",
    "architecture": {"kind": "llama", "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 64, "hidden": 256, "ffn": 512, "vocab": 1000},
    "max_context": 4096,
    "licence": {"name": "ours", "commercial": True},
}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.id))
def test_the_number_of_parameters_follows_from_the_architecture(entry: Entry) -> None:
    arch = entry.architecture
    assert entry.parameters == parameters_of(arch)
    if entry.parameters_active:
        embedding = arch.vocab * arch.hidden if entry.id in WITHOUT_EMBEDDING else 0
        # DeepSeek-V3's selection biases are counted with its experts, of which a token passes some only.
        assert entry.parameters_active == pytest.approx(active_parameters_of(arch) - embedding, abs=arch.moe_layers * arch.experts)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.id))
def test_sizes_are_those_of_the_mix(entry: Entry) -> None:
    """Where a file is not what its label says, the entry says so with ``override``. The library rounds to two digits."""
    for size in entry.sizes:
        computed = gguf_size(entry.architecture, size.quantisation, by_ollama=True).file
        if size.bytes:
            assert computed == pytest.approx(size.bytes, rel=0.01, abs=8e6), size
        else:
            assert (computed == pytest.approx(size.rounded, rel=0.05)) is not size.override, size


def test_the_tag_is_in_the_quantisation_that_its_exact_size_is_of() -> None:
    for entry in ENTRIES:
        assert [entry.ollama_quantisation for size in entry.sizes if size.bytes] == [
            size.quantisation for size in entry.sizes if size.bytes
        ]


def test_every_number_names_a_source_that_is_explained() -> None:
    for raw in raw_entries().values():
        texts = [value for key, value in raw.items() if key.endswith("_source")]
        texts += [part.get("source", "") for part in (raw.get("licence"), raw.get("gated"), raw.get("languages")) if part]
        texts += [size["source"] for size in raw.get("sizes", ())]
        for text in texts:
            assert text == "none" or any(name in text for name in sources()), (raw["id"], text)
        assert "architecture_source" in raw
        assert all(size["date"] for size in raw.get("sizes", ()))


def test_every_family_of_the_library_is_there() -> None:
    assert len(ENTRIES) >= 90
    families = {entry.family for entry in ENTRIES}
    assert families == {
        "llama", "codellama", "mistral", "neural-chat", "orca-mini", "qwen2.5", "qwen3", "deepseek", "gemma", "phi", "smollm", "exaone",
        "solar", "gpt-oss",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("qwen2.5:7b", "qwen2.5:7b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5:7b"),
        ("Qwen/Qwen2.5-7B", "qwen2.5:7b"),
        ("qwen/qwen2.5-7b-instruct-AWQ", "qwen2.5:7b"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "qwen2.5:7b"),
        ("qwen2.5:7b-instruct-q4_K_M", "qwen2.5:7b"),
        ("qwen2.5-coder:7b-base-q8_0", "qwen2.5-coder:7b"),
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "llama3.1:8b"),
        ("/models/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama3.1:8b"),
        ("/models/llama-2-13b-chat.Q4_0.gguf", "llama2:13b"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3:8b"),
        ("llama3.1:70b-instruct-q4_K_M", "llama3.1:70b"),
        ("deepseek-r1:8b", "deepseek-r1:8b"),
        ("deepseek-r1:8b-llama-distill-q4_K_M", "deepseek-r1:8b-llama"),
        ("unsloth/DeepSeek-R1-Distill-Qwen-7B-GGUF", "deepseek-r1:7b"),
        ("mistral:7b", "mistral:7b"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral:7b-instruct-v0.1"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3:30b-instruct-2507"),
        ("openai/gpt-oss-20b", "gpt-oss:20b"),
        ("gemma3:27b-it-qat", "gemma3:27b"),
        ("somebody/unknown-7B", ""),
    ],
)
def test_every_spelling_finds_the_model(name: str, wanted: str) -> None:
    found = built_in().find(name)
    assert (found.id if found else "") == wanted


@pytest.mark.parametrize(
    ("name", "words", "mix", "hub"),
    [
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "qwen2.5-7b", "", "awq"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "qwen2.5-7b", "", "gptq-int8"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "qwen2.5-7b", "", "gptq-int4"),
        ("qwen2.5:7b-instruct-q4_K_M", "qwen2.5-7b", "q4_k_m", ""),
        ("Model-7B.Q5_K_S.gguf", "model-7b", "q5_k_s", ""),
        ("Model-7B-IQ4_XS-00001-of-00002.gguf", "model-7b", "", ""),
        ("Model-7B-Q2_K_XL.gguf", "model-7b", "", ""),
        ("gpt-oss-20b-MXFP4_MOE.gguf", "gpt-oss-20b", "mxfp4_moe", "mxfp4"),
        ("phi3:3.8b-mini-4k-instruct-fp16", "phi3-3.8b-mini-4k", "fp16", ""),
    ],
)
def test_what_a_name_tells(name: str, words: str, mix: str, hub: str) -> None:
    assert (stem(name), mix_in(name), hub_format_in(name)) == (words, mix, hub)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("7b-instruct-iq3_xxs", "iq3_xxs"),
        ("Qwen2.5-7B-Instruct-IQ4_XS.gguf", "iq4_xs"),
        ("Qwen2.5-7B-Instruct-Q2_K_XL.gguf", "q2_k_xl"),
        ("unsloth/Qwen2.5-7B-Instruct-bnb-4bit", "bnb"),
        ("nvidia/Qwen3-8B-NVFP4", "nvfp4"),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", "w8a8"),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w4a16", ""),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", ""),
        ("bartowski/Qwen2.5-7B-Instruct-GGUF", ""),
        ("Model-7B-i1-Q4_K_M.gguf", ""),
        ("7b-instruct-q4_K_M", ""),
        ("latest", ""),
    ],
)
def test_a_quantisation_that_is_not_computed_is_found_in_a_name(name: str, word: str) -> None:
    assert other_quantisation_in(name) == word


def test_no_name_of_the_catalogue_has_such_a_word() -> None:
    names = [name for entry in built_in().entries.values() for name in (entry.id, entry.hf, *entry.ollama) if name]
    assert [name for name in names if other_quantisation_in(name)] == []


def test_a_user_adds_and_corrects() -> None:
    found = load([OWN, {"id": "qwen2.5:7b", "max_context": 131072}, {"id": "our-tune", "like": "qwen2.5:7b", "hf": "us/tune"}])
    own, corrected, tune = found.find("our-model"), found.find("Qwen/Qwen2.5-7B-Instruct"), found.find("us/tune")
    assert own
    assert own.architecture.layers == 2
    assert corrected
    assert (corrected.max_context, corrected.architecture.layers) == (131072, 28)
    assert tune
    assert (tune.architecture.layers, tune.licence.name, tune.sizes) == (28, "apache-2.0", ())
    assert load(None) is built_in()
    assert built_in().find("our-model") is None


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("our-model", "llm_catalogue_extra must be a list of mappings"),
        ([{"max_context": 1}], "llm_catalogue_extra entry 1 must have the text id"),
        ([{**OWN, "colour": "red"}], "The model 'our-model' of the catalogue has the unknown key 'colour'"),
        ([{"id": "x"}], "The model 'x' of the catalogue must have architecture, a mapping, but has none"),
        ([{**OWN, "max_context": "4k"}], "max_context must be a whole number, but it is '4k'"),
        ([{**OWN, "hf": "our model"}], "hf must be a repository such as org/name"),
        ([{**OWN, "ollama": ["qwen2.5:7b"]}], "has the name 'qwen2.5:7b' for 'qwen2.5:7b' and for 'our-model'"),
        ([{**OWN, "licence": {"name": "ours", "commercial": "yes"}}], "licence: commercial must be true, false or null, but it is 'yes'"),
        ([{**OWN, "licence": {"name": "ours"}}], "licence must have commercial"),
        ([{**OWN, "tasks": ["poetry"]}], "tasks must be a list of chat, code"),
        ([{**OWN, "sizes": [{"quantisation": "q9", "bytes": 1}]}], "sizes: The quantisation 'q9' is not known"),
        ([{**OWN, "sizes": [{"quantisation": "q8_0"}]}], "sizes: q8_0 must have bytes or rounded"),
        ([{**OWN, "architecture": {**OWN["architecture"], "layers": 0}}], "layers must be a whole number of at least 1"),
        ([{"id": "tune", "like": "nothing"}], "'tune' is like 'nothing', which is no entry that stands for itself"),
    ],
)
def test_what_cannot_be_is_refused(extra: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(extra)
