"""A plan, laid over the list of models."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.placed_models import placed_models
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.plan import llm_plan

GIB = 1024**3
QWEN: dict[str, Any] = {"name": "qwen", "source": "ollama:qwen2.5:7b"}
LLAMA: dict[str, Any] = {"name": "llama", "engine": "vllm", "source": "hf:meta-llama/Llama-3.1-8B-Instruct"}
OWN: dict[str, Any] = {"name": "own", "engine": "vllm", "source": "file:/srv/in/own"}
PLAN: dict[str, Any] = {
    "models": {
        "llama": {"source": f"{LLAMA['source']}@main", "context": 8192, "gpus": ["GPU-1"], "options": {"gpu_memory_utilization": 0.5}}
    }
}


def test_without_a_plan_the_list_stays() -> None:
    assert placed_models([QWEN, LLAMA]) == placed_models([QWEN, LLAMA], {}) == [QWEN, LLAMA]


def test_a_plan_is_laid_over_the_models_of_vllm() -> None:
    qwen, llama = placed_models([QWEN, LLAMA], PLAN)
    assert qwen == QWEN
    assert llama == {**LLAMA, "context": 8192, "gpus": ["GPU-1"], "options": {"gpu_memory_utilization": 0.5}}


@pytest.mark.parametrize(
    "said", [{"context": 4096}, {"gpus": ["GPU-2"]}, {"options": {"gpu-memory-utilization": 0.7}}, {"options": {"seed": 1}}], ids=str
)
def test_what_a_person_has_set_stays(said: dict[str, Any]) -> None:
    (llama,) = placed_models([{**LLAMA, **said}], PLAN)
    expected = {key.replace("-", "_"): value for key, value in said.get("options", {}).items()}
    assert llama["options"] == {"gpu_memory_utilization": 0.5, **expected}
    assert (llama["context"], llama["gpus"]) == (said.get("context", 8192), said.get("gpus", ["GPU-1"]))


@pytest.mark.parametrize(
    ("models", "placement", "words"),
    [
        (
            [{**LLAMA, "source": "hf:Qwen/Qwen3-8B"}],
            PLAN,
            "The model 'llama' was planned as 'hf:meta-llama/Llama-3.1-8B-Instruct@main', but",
        ),
        ([LLAMA, OWN], PLAN, "The model 'own' of llm_models came after the plan"),
        ([LLAMA], {"models": []}, "llm_placement must be what playbooks/plan.yml writes"),
        ([LLAMA], "yes", "llm_placement must be what playbooks/plan.yml writes"),
    ],
)
def test_another_list_is_refused_until_it_is_planned_again(models: list[dict[str, Any]], placement: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        placed_models(models, placement)


def test_models_that_left_or_are_absent_do_not_matter() -> None:
    old = {"name": "old", "engine": "vllm", "state": "absent"}
    assert placed_models([QWEN, old], PLAN) == [QWEN, old]


@pytest.mark.parametrize("gpus", [0, 2])
def test_what_a_plan_writes_is_taken(gpus: int) -> None:
    gpu = {"vendor": "nvidia", "name": "L40S", "memory_total": 45 * GIB, "memory_free": 45 * GIB, "compute_capability": "8.9"}
    cards = [{**gpu, "index": index, "uuid": f"GPU-{index}"} for index in range(gpus)]
    host: dict[str, Any] = {"memory": {"total": 128 * GIB}, "gpus": cards, "disks": [], "nvidia": None, "os": {}}
    models = [QWEN, {**LLAMA, "users": 2}, OWN]
    placement = llm_plan(models, host)["variables"]["llm_placement"]
    _qwen, llama, own = placed_models(models, placement)
    assert own == {**OWN, "options": {}} and llama["context"] == 131072 and llama["options"]["max_num_seqs"] == 2
    assert bool(llama.get("gpus")) == bool(gpus) and ("vllm_cpu_kvcache_gib" in placement) == (not gpus)
    # And the same again: a plan made anew does not build on itself.
    assert llm_plan(models, host)["variables"]["llm_placement"] == placement
