"""A host with one GPU and a model for it, and the filters of the planner, for tests of plans and wishes."""

from __future__ import annotations

from typing import Any

from ansible_collections.onprem.llm.plugins.filter.planner import FilterModule

GIB = 1 << 30
FILTERS = FilterModule().filters()
llm_plan, llm_choices, plan_questions = FILTERS["llm_plan"], FILTERS["llm_choices"], FILTERS["plan_questions"]
GPU = {"vendor": "nvidia", "index": 0, "name": "L40S", "uuid": "GPU-1", "memory_total": 45 * GIB, "memory_free": 45 * GIB}
HOST: dict[str, Any] = {
    "memory": {"total": 64 * GIB},
    "gpus": [{**GPU, "compute_capability": "8.9"}],
    "disks": [],
    "nvidia": None,
    "os": {},
}
QWEN: dict[str, Any] = {"name": "qwen", "source": "ollama:qwen2.5:7b"}
