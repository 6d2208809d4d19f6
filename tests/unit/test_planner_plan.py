"""The plan of a host as the playbook asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.onprem.llm.plugins.module_utils.model_shape import Servers, shape_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from tests.unit.helpers.gguf_writer import keys, write_gguf
from tests.unit.helpers.plan_host import GIB, GPU, HOST, QWEN, llm_choices, llm_plan, plan_questions

LLAMA: dict[str, Any] = {"name": "llama", "engine": "vllm", "source": "hf:meta-llama/Llama-3.1-8B-Instruct", "context": 16384, "users": 4}
OWN: dict[str, Any] = {"name": "own", "source": "file:/srv/in/own.gguf"}


def test_a_host_with_both_engines() -> None:
    plan = llm_plan([QWEN, LLAMA, {"name": "old", "state": "absent"}], HOST, {"name": "gpu1"})
    assert (plan["problems"], plan["unknown"]) == ([], [])
    placement = plan["variables"]["llm_placement"]
    models = placement.pop("models")
    assert placement == {"ollama_num_parallel": 1, "ollama_max_loaded_models": 1}
    assert models.keys() == {"llama"} and (models["llama"]["source"], models["llama"]["gpus"]) == (f"{LLAMA['source']}@main", ["GPU-1"])
    options = models["llama"]["options"]
    assert (options["max_num_seqs"], options["max_num_batched_tokens"], options["gpu_memory_utilization"]) == (4, 2048, 0.57)
    text = "\n".join(plan["table"])
    # The file of Ollama's library, to the byte; 8.03 billion values of 16 bits; 2 x 32 layers x 8 heads x 128 x 2 bytes for each token.
    assert "qwen   ollama  q4_k_m" in text and "4.4 GiB" in text
    assert "15.0 GiB" in text and "32 layers x 4096 B x 16384 tokens in blocks of 16 x 4 users" in text


@pytest.mark.parametrize(("engines", "names"), [(["ollama"], ["qwen"]), (["vllm"], ["llama"]), ([], ["qwen", "llama"])])
def test_a_host_plans_for_its_own_engines(engines: list[str], names: list[str]) -> None:
    table = llm_plan([QWEN, LLAMA], HOST, {"engines": engines})["table"]
    assert [name for name in ("qwen", "llama") if f"  {name}:" in table] == names


@pytest.mark.parametrize(
    ("inputs", "models", "words"),
    [
        ({"ollama_context_length": "8192", "ollama_num_parallel": "2"}, [QWEN], ["8192 x 2", "GPU 0"]),
        # Ollama decides by the memory of the GPUs: 45 GiB.
        ({"ollama_context_length": 0}, [QWEN], ["32768 x 1"]),
        ({"ollama_gpu": "none"}, [QWEN], ["4096 x 1         CPU"]),
        ({"vllm_variant": "cpu"}, [LLAMA], ["16384 x 4        CPU"]),
        ({}, [{**LLAMA, "gpus": ["0"]}], ["16384 x 4        GPU 0"]),
        ({}, [{**LLAMA, "gpus": ["GPU-7"]}], ["does not fit"]),
        ({}, [{**LLAMA, "options": {"tensor-parallel-size": 2}}], ["does not fit"]),
        ({}, [{**LLAMA, "options": {"kv-cache-dtype": "fp8"}}], ["32 layers x 2048 B x 16384 tokens"]),
    ],
)
def test_what_a_person_has_decided_stays(inputs: dict[str, Any], models: list[dict[str, Any]], words: list[str]) -> None:
    text = "\n".join(llm_plan(models, HOST, inputs)["table"])
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("name", "gib", "users", "options", "step", "sequences"),
    [
        # What is computed with is what vLLM is told: on large GPUs it would take 1,024 sequences by itself, 5 GiB of logits.
        ("NVIDIA L40S", 45, None, {}, 2048, 256),
        ("NVIDIA H100 80GB HBM3", 80, None, {}, 8192, 256),
        ("NVIDIA B200", 180, 300, {}, 16384, 300),
        ("NVIDIA A100-SXM4-80GB", 80, None, {}, 2048, 256),
        ("NVIDIA H100 80GB HBM3", 80, None, {"max-num-batched-tokens": 4096}, 4096, 256),
        # A whole prompt in one step.
        ("NVIDIA L40S", 45, None, {"enable-chunked-prefill": False}, 4096, 256),
    ],
)
def test_vllm_is_told_the_step_that_was_computed_with(
    name: str, gib: int, users: int | None, options: dict[str, Any], step: int, sequences: int
) -> None:
    host = {**HOST, "gpus": [{**GPU, "name": name, "memory_total": gib * GIB, "compute_capability": "9.0"}]}
    plan = llm_plan([{**LLAMA, "context": 4096, "users": users, "options": options}], host)
    told = plan["variables"]["llm_placement"]["models"]["llama"]["options"]
    assert (told["max_num_batched_tokens"], told["max_num_seqs"]) == (step, sequences), plan["problems"]


def test_a_part_of_a_large_gpu_keeps_to_the_small_step() -> None:
    big = {**LLAMA, "name": "big", "source": "hf:Qwen/Qwen2.5-32B-Instruct", "users": 1}
    host = {**HOST, "gpus": [{**GPU, "name": "NVIDIA H200", "memory_total": 100 * GIB, "compute_capability": "9.0"}]}
    plan = llm_plan([big, LLAMA], host)
    models = plan["variables"]["llm_placement"]["models"]
    claimed = {name: part["options"]["gpu_memory_utilization"] for name, part in models.items()}
    assert plan["problems"] == [] and sum(claimed.values()) <= 0.95, claimed
    assert models["big"]["options"]["max_num_batched_tokens"] in {2048, 8192}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"context": 262144}, "is to have more tokens than the 131072 that the model was made for"),
        ({"context": 262144, "options": {"hf-overrides": "{}"}}, ""),
        ({"options": {"tensor_parallel_size": 3}}, "has 32 heads and 8 for its KV cache, which must split evenly: choose another number"),
        ({"options": {"tensor_parallel_size": 8}}, "is to be spread over 8 GPUs, but gpu1 has 4: lower tensor_parallel_size"),
        ({"options": {"tensor_parallel_size": 2, "pipeline_parallel_size": 4}}, "is to be spread over 8 GPUs, but gpu1 has 4"),
        ({"gpus": ["7"]}, "is to have the GPU 7, but gpu1 has 0 (GPU-1), 1 (GPU-2), 2 (GPU-3), 3 (GPU-4): correct its gpus"),
        ({"gpus": ["GPU-3"]}, ""),
        ({"options": {"gpu_memory_utilization": 0.2}}, "gives it 9.0 GiB: leave the option out, or set at least 0.44"),
        # Enough to start with, though not for all users at once.
        ({"users": 8, "options": {"gpu_memory_utilization": 0.5}}, ""),
        ({"options": {"tensor_parallel_size": 4}}, ""),
    ],
)
def test_what_vllm_would_refuse_is_refused_before(change: dict[str, Any], words: str) -> None:
    gpus = [{**HOST["gpus"][0], "index": number, "uuid": f"GPU-{number + 1}"} for number in range(4)]
    problems = llm_plan([{**LLAMA, **change}], {**HOST, "gpus": gpus}, {"name": "gpu1"})["problems"]
    assert len(problems) == (1 if words else 0) and words in "".join(problems), problems


def test_what_does_not_fit_is_one_sentence() -> None:
    (problem,) = llm_plan([{**LLAMA, "users": 40}], HOST, {"name": "gpu1"})["problems"]
    assert problem.startswith("llama (bf16, 16384 tokens, 40 users) needs ") and "gpu1 has 1 x L40S with 45.0 GiB" in problem
    assert problem.endswith("it fits.")


def test_ollama_has_one_number_of_users_for_all() -> None:
    models = [QWEN, {"name": "small", "source": "ollama:qwen2.5:0.5b", "context": 32768, "users": 16}]
    plan = llm_plan(models, HOST)
    assert plan["variables"]["llm_placement"]["ollama_num_parallel"] == 16
    assert any("4096 x 16" in line for line in plan["table"]) and any("32768 x 16" in line for line in plan["table"])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"ollama_context_length": ""}, "ollama_context_length must be a whole number"),
        ({"ollama_num_parallel": "auto"}, "ollama_num_parallel must be a whole number"),
        ({"catalogue_extra": [{"id": "x", "like": []}]}, "is like"),
        ({"catalogue_extra": [{"id": "x", "like": "y"}, {"id": "y"}]}, "is like 'y'"),
        ({"catalogue_extra": [{"id": "qwen2.5:7b", "tasks": [{}]}]}, "tasks must be"),
        ({"catalogue_extra": [{"id": "qwen2.5:7b", "hub_quantisation": []}]}, "hub_quantisation must be"),
        ({"catalogue_extra": [{"id": "x", "like": "qwen2.5:7b", "architecture": {"kind": []}}]}, "kind must be one of"),
        ({"catalogue_extra": [{"id": "qwen2.5:7b", "gated": {"value": []}}]}, "value must be true, false or null"),
    ],
)
def test_inputs_that_cannot_be_are_one_sentence(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        llm_plan([QWEN], HOST, inputs)


@pytest.mark.parametrize(
    "change",
    [
        {"source": "ollama:qwen2.5:7b-instruct-iq3_xxs"},
        {"source": "hf:bartowski/Qwen2.5-7B-Instruct-GGUF#Qwen2.5-7B-Instruct-IQ4_XS.gguf"},
        {"source": "hf:unsloth/Qwen2.5-7B-Instruct-bnb-4bit", "engine": "vllm"},
    ],
)
def test_a_quantisation_that_is_not_computed_is_no_other_one(change: dict[str, Any]) -> None:
    (unknown,) = llm_plan([{**QWEN, **change}], HOST)["unknown"]
    assert "whose size the planner does not compute: let the plan read its files" in unknown
    assert plan_questions([{**QWEN, **change}], {"source": "open"})["sources"], "so that the plan reads its files"


def test_a_number_of_an_option_may_be_text() -> None:
    plan = llm_plan([{**LLAMA, "context": None, "options": {"max-model-len": "8192"}}], HOST)
    assert plan["unknown"] == [] and any("8192 x 4" in line for line in plan["table"])


def test_a_model_of_the_users_own(tmp_path: Path) -> None:
    (unknown,) = llm_plan([OWN], HOST)["unknown"]
    assert unknown.startswith("own is not in the plan. The model 'file:/srv/in/own.gguf' is not in the catalogue")
    extra = [{"id": "own", "aliases": ["/srv/in/own.gguf"], "like": "qwen2.5:7b"}]
    assert llm_plan([OWN], HOST, {"catalogue_extra": extra})["unknown"] == []
    file = write_gguf(
        tmp_path / "own.gguf",
        kv=keys(**{
            "llama.block_count": 30, "llama.embedding_length": 576, "llama.feed_forward_length": 1536, "llama.vocab_size": 49152,
            "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3,
        }),
    )  # fmt: skip
    shape = {**shape_of(f"file:{file}", Servers(Access(), Access())).told(), "source": OWN["source"]}
    plan = llm_plan([OWN], HOST, {"shapes": [shape]})
    assert plan["unknown"] == [] and any("30 layers x 768 B x 4096 tokens" in line for line in plan["table"])


def test_what_is_asked_about_models() -> None:
    network = {"source": "open", "hub_token": "secret"}
    known = [QWEN, LLAMA]
    assert plan_questions(known, network) == {"sources": []}
    asked = plan_questions(
        [*known, OWN, {"name": "x", "engine": "vllm", "source": "hf:us/tune"}, {"name": "y", "source": "ollama:tune:1"}], network
    )
    assert asked == {
        "sources": ["file:/srv/in/own.gguf", "hf:us/tune@main", "ollama:tune:1"],
        "hub_endpoint": "https://huggingface.co",
        "registry_endpoint": "https://registry.ollama.ai",
        "token": "secret",
    }
    assert plan_questions([{"name": "y", "source": "ollama:tune:1"}], {"source": "registries"}) == {"sources": []}


@pytest.mark.parametrize(
    ("change", "inputs", "words"),
    [
        ({"gpus": [{**GPU, "mig": True}]}, {}, "llama is not in the plan. L40S is split by MIG"),
        ({"gpus": [{**GPU, "name": "GB10", "memory_total": None}]}, {}, "llama is not in the plan. The memory of GB10 is not known"),
        ({"gpus": None}, {}, "llama is not in the plan. Whether it fits the GPU is not known while its driver does not work"),
        ({"gpus": [{**GPU, "compute_capability": "6.1"}]}, {}, "vLLM needs compute capability 7.5 or newer, but the L40S has 6.1"),
        # The role refuses the host, though another card would do.
        (
            {"gpus": [{**GPU, "compute_capability": "6.1"}, {**GPU, "index": 1, "uuid": "GPU-2", "compute_capability": "9.0"}]},
            {},
            "has 6.1",
        ),
        ({"gpus": [{**GPU, "mig": True}]}, {"vllm_variant": "cpu"}, ""),
        ({"gpus": []}, {}, ""),
    ],
)
def test_a_gpu_that_cannot_be_used_is_no_reason_for_the_cpu(change: dict[str, Any], inputs: dict[str, Any], words: str) -> None:
    plan = llm_plan([{**LLAMA, "context": 8192}], {**HOST, **change}, inputs)
    said = [*plan["unknown"], *plan["problems"]]
    assert len(said) == bool(words) and words in "".join(said), said
    assert ("vllm_cpu_kvcache_gib" in plan["variables"]["llm_placement"]) == (not words)
    # A wish does not know vllm_variant.
    choices = llm_choices({"engine": "vllm"}, {"gpu1": {**HOST, **change}})["choices"]
    assert bool(choices) == (change == {"gpus": []})
