"""Where models go on a host: what fits, what does not, and that a larger host never makes a plan impossible."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Engine
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.outcome import problems, table, variables
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import Placement, place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Gpu, Room, room_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import GIB

ENGINES: list[Engine] = ["ollama", "vllm"]
LLAMA_8B = Architecture("llama", 32, 32, 8, 128, 4096, 14336, 128256, max_context=131072)
LLAMA_70B = Architecture("llama", 80, 64, 8, 128, 8192, 28672, 128256, max_context=131072)
QWEN_05B = Architecture("qwen2", 24, 14, 2, 64, 896, 4864, 151936, tied=True, max_context=32768)


def vllm(name: str, arch: Architecture = LLAMA_8B, quantisation: str = "bf16", context: int = 8192, users: int = 2) -> Demand:
    return Demand(name, "vllm", arch, quantisation, context, users)


def ollama(name: str, arch: Architecture = LLAMA_8B, quantisation: str = "q4_k_m", context: int = 8192, users: int = 1) -> Demand:
    return Demand(name, "ollama", arch, quantisation, context, users)


def room(*gpus: float, ram: float = 64, nvlink: bool = False, capability: tuple[int, ...] = (8, 9)) -> Room:
    cards = tuple(Gpu(index, "card", int(size * GIB), f"GPU-{index}", capability=capability) for index, size in enumerate(gpus))
    return Room("gpu1", cards, int(ram * GIB), None, nvlink)


def spots(placement: Placement) -> list[tuple[Any, ...]]:
    return [
        (one.demand.name, [gpu.index for gpu in one.gpus], one.tensor_parallel, one.pipeline_parallel) if one.fits else (one.demand.name,)
        for one in placement.places
    ]


@pytest.mark.parametrize(
    ("where", "demands", "expected"),
    [
        (room(24), [vllm("a")], [("a", [0], 1, 1)]),
        (room(24, 24), [vllm("a"), vllm("b")], [("a", [0], 1, 1), ("b", [1], 1, 1)]),
        # Both beside each other on the large card, none on the small one.
        (room(16, 48), [vllm("a"), vllm("b")], [("a", [1], 1, 1), ("b", [1], 1, 1)]),
        (room(16), [vllm("a")], [("a",)]),
        # Whole layers without NVLink, heads with it.
        (room(48, 48, 48, 48), [vllm("big", LLAMA_70B)], [("big", [0, 1, 2, 3], 1, 4)]),
        (room(48, 48, 48, 48, nvlink=True), [vllm("big", LLAMA_70B)], [("big", [0, 1, 2, 3], 4, 1)]),
        (room(3.8, 3.8, nvlink=True), [vllm("small", QWEN_05B, context=4096)], [("small", [0, 1], 2, 1)]),
        (room(ram=64), [vllm("a")], [("a", [], 1, 1)]),
        (room(ram=16), [vllm("a")], [("a",)]),
        (room(24), [ollama("a")], [("a", [0], 1, 1)]),
        (room(4, 4), [ollama("a")], [("a", [0, 1], 1, 2)]),
        (room(ram=8), [ollama("a")], [("a", [], 1, 1)]),
        (room(ram=4), [ollama("a")], [("a",)]),
        # vLLM claims its share for good; Ollama takes what is left.
        (room(24, 24), [ollama("o"), vllm("v")], [("o", [1], 1, 1), ("v", [0], 1, 1)]),
        # The one that fits alone stays when another never could.
        (room(24), [vllm("big", LLAMA_70B), vllm("a")], [("big",), ("a", [0], 1, 1)]),
    ],
)
def test_places(where: Room, demands: list[Demand], expected: list[tuple[Any, ...]]) -> None:
    assert spots(place(where, demands)) == expected


def test_vllm_has_no_place_where_the_card_is_too_old() -> None:
    old = place(room(32, capability=(7, 0)), [vllm("a"), ollama("o")])
    assert spots(old) == [("a",), ("o", [0], 1, 1)]


def test_a_model_that_is_partly_on_the_cpu() -> None:
    (one,) = place(room(24, ram=64), [ollama("big", LLAMA_70B, context=4096)]).places
    assert one.needs is not None and one.gpu_layers is not None
    assert 30 < one.gpu_layers < 60
    assert one.needs.gpu_bytes < 0.95 * 24 * GIB
    whole = one.demand.needs()
    moved = sum(term.bytes for term in one.needs.ram_terms) - whole.ram_bytes
    assert abs(moved + one.needs.gpu_bytes - whole.gpu_bytes) < 100, "what left the GPU is in RAM"
    assert "layers), CPU" in "\n".join(table(place(room(24, ram=64), [one.demand])))


def test_models_of_ollama_that_are_in_memory_together() -> None:
    assert place(room(24), [ollama("a"), ollama("b"), ollama("c")]).together == 3
    assert place(room(16), [ollama("a"), ollama("b"), ollama("c")]).together == 2
    assert "Ollama keeps 2 of its 3 models in memory" in "\n".join(table(place(room(16), [ollama("a"), ollama("b"), ollama("c")])))


def test_variables_for_the_roles() -> None:
    demands = [vllm("a"), vllm("b", users=4), ollama("o", users=3)]
    models: list[dict[str, Any]] = [
        {"name": "a", "engine": "vllm", "source": "hf:org/a@main", "users": 2},
        {"name": "b", "engine": "vllm", "source": "hf:org/b@main", "users": None},
        {"name": "o", "engine": "ollama", "source": "ollama:o:1", "users": 3},
    ]

    def told(where: Room, wanted: list[Demand]) -> dict[str, Any]:
        found: dict[str, Any] = variables(place(where, wanted), models[: len(wanted)])["llm_placement"]
        return found

    both = told(room(80), demands)
    first, second = both.pop("models").values()
    assert both == {"ollama_num_parallel": 3, "ollama_max_loaded_models": 1}
    assert (first["source"], first["context"], first["gpus"]) == ("hf:org/a@main", 8192, ["GPU-0"])
    assert 0.2 < first["options"].pop("gpu_memory_utilization") < 0.35 and first["options"] == {
        "max_num_seqs": 2,
        "max_num_batched_tokens": 8192,
    }
    # Nobody has asked for users of it: what was counted with.
    assert second["options"]["max_num_seqs"] == 256
    assert told(room(ram=64), [vllm("a", context=24576)])["vllm_cpu_kvcache_gib"] == 6
    assert told(room(24), [vllm("a")])["models"]["a"]["options"]["gpu_memory_utilization"] == 0.92
    spread = told(room(48, 48, 48, 48, nvlink=True), [vllm("a", LLAMA_70B)])["models"]["a"]
    assert spread["options"]["tensor_parallel_size"] == 4 and len(spread["gpus"]) == 4


@pytest.mark.parametrize(
    ("where", "demands", "words"),
    [
        (
            room(24),
            [vllm("a", context=65536)],
            ["a (bf16, 65536 tokens, 2 users) needs", "1 x card with 24.0 GiB", "With a context of 16384 tokens it fits"],
        ),
        (room(24), [vllm("a", context=8192, users=40)], ["GiB too little", "it fits."]),
        (room(16), [vllm("a")], ["needs", "GiB too little. With vllm_variant set to cpu it fits"]),
        (room(16, ram=8), [vllm("a")], ["needs", "GiB too little", "No context is short enough"]),
        (room(8, ram=4), [replace(ollama("a"), quantisation="f16")], ["In q8_0 it fits: take a tag or a file of that quantisation."]),
        (room(ram=4), [ollama("a")], ["GiB of RAM, but gpu1 has 4.0 GiB for models", "GiB too little"]),
        (room(24), [vllm("a"), vllm("b")], ["fits on gpu1 by itself, but not beside the other models"]),
    ],
)
def test_problems_say_what_would_help(where: Room, demands: list[Demand], words: list[str]) -> None:
    (problem,) = problems(place(where, demands))
    assert all(word in problem for word in words), problem


def test_the_table_names_every_formula() -> None:
    text = "\n".join(table(place(room(24), [vllm("a"), vllm("big", LLAMA_70B)])))
    assert "does not fit" in text and "1 x card with 24.0 GiB" in text
    assert "32 layers x 4096 B x 8192 tokens" in text and "[vllm 0.32.0" in text


def random_case(seed: int) -> tuple[Room, list[Demand]]:
    chance = random.Random(seed)  # noqa: S311  cases for a test
    gpus = [chance.choice([8, 16, 24, 24, 48, 80]) for _card in range(chance.randrange(5))]
    demands = [
        Demand(
            f"m{number}",
            engine,
            chance.choice([LLAMA_8B, LLAMA_70B, QWEN_05B]),
            "q4_k_m" if engine == "ollama" else chance.choice(["bf16", "awq", "fp8"]),
            chance.choice([2048, 8192, 32768]),
            chance.choice([1, 2, 8]),
        )
        for number in range(chance.randrange(1, 5))
        for engine in [chance.choice(ENGINES)]
    ]
    return room(*gpus, ram=chance.choice([8, 32, 128, 512]), nvlink=chance.random() < 0.5), demands


@pytest.mark.parametrize("seed", range(150))
def test_what_holds_for_every_plan(seed: int) -> None:
    where, demands = random_case(seed)
    placement = place(where, demands)
    assert [one.demand for one in placement.places] == demands
    claimed = {gpu.key: 0 for gpu in where.gpus}
    for one in placement.places:
        if one.needs is not None and one.demand.engine == "vllm":
            for gpu in one.gpus:
                claimed[gpu.key] += one.needs.gpu_bytes
    assert all(claimed[gpu.key] <= 0.95 * gpu.total for gpu in where.gpus), "no GPU is promised twice"
    assert len(list(problems(placement))) == sum(not one.fits for one in placement.places)
    if not placement.fits:
        return
    chance = random.Random(seed)  # noqa: S311  cases for a test
    more = replace(
        where,
        ram=where.ram + chance.randrange(64) * GIB,
        gpus=tuple(replace(gpu, total=gpu.total + chance.randrange(3) * 7 * GIB) for gpu in where.gpus),
    )
    assert place(more, demands).fits, "more memory never makes a plan impossible"
    card = replace(room(chance.choice([8, 24, 80])).gpus[0], index=9, uuid="GPU-9")
    wider = place(replace(where, gpus=(*where.gpus, card)), demands)
    assert wider.fits or not where.gpus, "nor does another card"
    # Only where the CPU had to do, for the role takes the GPU once there is one.
    assert all(
        "With vllm_variant set to cpu it fits" in said or "beside the other" in said or "it fits." in said for said in problems(wider)
    )
    fewer = [replace(demand, users=1, context=demand.context // 2) for demand in demands]
    assert place(where, fewer).fits, "fewer users with less context never need more"


def test_a_long_list_that_does_not_fit_ends_soon() -> None:
    started = time.process_time()
    demands = [vllm(f"m{number}") for number in range(14)]
    placement = place(room(*[24] * 8), demands)
    assert sum(one.fits for one in placement.places) == 8
    (problem,) = problems(place(room(24), [vllm("a", users=1 << 20)]))
    assert "users it fits." in problem
    assert time.process_time() - started < 10


FACTS: dict[str, Any] = {
    "os": {"wsl": 2},
    "memory": {"total": 16 * GIB},
    "disks": [{"path": "/var/lib/llm", "free": 100}, {"path": "/opt", "free": 5}],
    "gpus": [
        {
            "vendor": "nvidia",
            "index": 0,
            "name": "L4",
            "uuid": "GPU-a",
            "memory_total": 23 * GIB,
            "memory_free": 9 * GIB,
            "compute_capability": "8.9",
        },
        {
            "vendor": "amd",
            "index": 0,
            "name": "MI300X",
            "uuid": None,
            "memory_total": 192 * GIB,
            "memory_free": None,
            "compute_capability": None,
        },
        {
            "vendor": "nvidia",
            "index": 1,
            "name": "T4",
            "uuid": "GPU-b",
            "memory_total": None,
            "memory_free": None,
            "compute_capability": "7.5",
        },
    ],
    "nvidia": {"nvlink": []},
}


def test_a_card_that_is_split_is_not_planned_with() -> None:
    found = room_of("h", {**FACTS, "gpus": [{**FACTS["gpus"][0], "mig": True}]})
    assert found.gpus == () and "L4 is split by MIG" in found.notes[0]


def test_the_room_of_a_host() -> None:
    found = room_of("h", FACTS, "/var/lib/llm")
    assert (found.gpus, found.ram, found.disk) == ((Gpu(0, "L4", 23 * GIB, "GPU-a", 9 * GIB, (8, 9)),), 14 * GIB, 100)
    text = "\n".join(found.notes)
    assert all(
        word in text for word in ("MI300X is not planned with", "memory of T4 is not known", "14.0 GiB of GPU 0 are in use", ".wslconfig")
    )


@pytest.mark.parametrize(
    "facts", [{}, {"gpus": None, "memory": None, "disks": None, "nvidia": None, "os": None, "reasons": {"gpus": "no driver"}}]
)
def test_a_host_of_which_little_is_known(facts: dict[str, Any]) -> None:
    found = room_of("h", facts)
    assert (found.gpus, found.ram, found.disk) == ((), 0, None)
    assert not place(found, [ollama("a")]).fits
