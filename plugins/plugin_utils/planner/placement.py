# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model goes where on one host: on a GPU, over several, partly on the CPU, on the CPU, or nowhere.

vLLM claims its share of each GPU for good, so its models are placed beside each other by a search that tries every way (up to
``STEPS``): where a placement exists it is found, so more memory never makes one impossible. Ollama loads a model when it is asked for and
lets another go, so each of its models must fit by itself beside what vLLM claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.offload import most_gpu_layers, split
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Gpu, Room
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.vllm_pool import HIGHEST_UTILISATION
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_variant import CUDA_CAPABILITY

# Placements looked at before the search gives up and places the smallest first.
STEPS = 20_000


@dataclass(frozen=True)
class Place:
    """Where a model goes and what it takes there. Without ``needs`` it goes nowhere."""

    demand: Demand
    needs: Needs | None = None
    gpus: tuple[Gpu, ...] = ()
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    # Of Ollama's models that do not fit into the GPUs: the layers that do.
    gpu_layers: int | None = None

    @property
    def fits(self) -> bool:
        """Tell whether the model can be served."""
        return self.needs is not None


@dataclass(frozen=True)
class Placement:
    """The places of a host's models, in the order of the list."""

    room: Room
    places: tuple[Place, ...]
    # Ollama's models that are in memory at once.
    together: int = 0

    @property
    def fits(self) -> bool:
        """Tell whether all models can be served."""
        return all(place.fits for place in self.places)


@dataclass
class _Search:
    """What is free while the search tries places: bytes of each GPU, and of RAM."""

    room: Room
    free: dict[str, int]
    ram: int
    steps: int = STEPS

    def ways(self, demand: Demand) -> Iterator[Place]:
        """Yield the places that are free for a model of vLLM, the best first: few GPUs, and those that are emptiest."""
        # The role takes the CPU where there is no GPU of NVIDIA (vllm_variant.py), not where one cannot be used.
        if demand.on_cpu or not self.room.gpus:
            needs = demand.needs(device="cpu")
            if needs.ram_bytes <= self.ram:
                yield Place(demand, needs)
            return
        able = [gpu for gpu in self.room.gpus if not gpu.capability or gpu.capability[:2] >= CUDA_CAPABILITY]
        if demand.only_on:
            able = [gpu for gpu in able if gpu.names & set(demand.only_on)]
        for count in range(1, len(able) + 1):
            for tensor, pipeline in _shapes(demand, count, self.room.nvlink):
                needs = demand.needs(tensor, pipeline)
                if needs.ram_bytes > self.ram:
                    continue
                for gpus in self._choices(able, count, needs.gpu_bytes):
                    yield Place(demand, needs, gpus, tensor, pipeline)

    def _choices(self, able: list[Gpu], count: int, size: int) -> Iterator[tuple[Gpu, ...]]:
        """Yield sets of ``count`` GPUs that each have room for ``size``; of sets that look alike, one."""
        fit = sorted((gpu for gpu in able if self.free[gpu.key] >= size), key=lambda gpu: -self.free[gpu.key])
        seen = set()
        for gpus in combinations(fit, count):
            look = tuple((self.free[gpu.key], gpu.total) for gpu in gpus)
            if look not in seen:
                seen.add(look)
                yield tuple(sorted(gpus, key=lambda gpu: gpu.index))

    def take(self, place: Place, sign: int = 1) -> None:
        """Claim a place, or give it back."""
        needs = place.needs
        if needs is None:
            return
        self.ram -= sign * needs.ram_bytes
        for gpu in place.gpus:
            self.free[gpu.key] -= sign * needs.gpu_bytes


def place(room: Room, demands: list[Demand]) -> Placement:
    """Place all models of a host. Who cannot be placed goes nowhere; where not all can be, the largest stay out."""
    loaded = [demand for demand in demands if demand.engine == "ollama"]
    fixed = [demand for demand in demands if demand.engine == "vllm" and _solve(_search(room), [demand], []) is not None]
    fixed.sort(key=_size, reverse=True)
    # A model that Ollama could not serve if it had the host for itself keeps no other from its place.
    beside = [demand for demand in loaded if _by_itself(_search(room), demand).fits]
    found = _solve(_search(room), fixed, beside)
    if found is None:
        found = _as_many(_search(room), fixed, beside)
    places = {place.demand.name: place for place in found}
    search = _search(room)
    for claimed in found:
        search.take(claimed)
    places |= {demand.name: _by_itself(search, demand) for demand in loaded}
    together = _together(search, [places[demand.name] for demand in loaded])
    return Placement(room, tuple(places.get(demand.name, Place(demand)) for demand in demands), together)


def _search(room: Room) -> _Search:
    return _Search(room, {gpu.key: int(gpu.total * HIGHEST_UTILISATION) for gpu in room.gpus}, room.ram)


def _solve(search: _Search, fixed: list[Demand], loaded: list[Demand]) -> list[Place] | None:
    """Return places for all, or None; whoever is first in ``fixed`` is placed first."""
    if not fixed:
        return [] if all(_by_itself(search, demand).fits for demand in loaded) else None
    for way in search.ways(fixed[0]):
        search.steps -= 1
        if search.steps < 0:
            return None
        search.take(way)
        rest = _solve(search, fixed[1:], loaded)
        search.take(way, -1)
        if rest is not None:
            return [way, *rest]
    return None


def _as_many(search: _Search, fixed: list[Demand], loaded: list[Demand]) -> list[Place]:
    """Return places for some, the smallest first, each where it is best for itself."""
    found = []
    for demand in reversed(fixed):
        for way in search.ways(demand):
            search.take(way)
            if _solve(search, [], loaded) is not None:
                found.append(way)
                break
            search.take(way, -1)
    return found


def _by_itself(search: _Search, demand: Demand) -> Place:
    """Return where a model of Ollama goes when no other of them is loaded: one GPU, several, GPUs and CPU, CPU, nowhere."""
    emptiest = sorted([] if demand.on_cpu else search.room.gpus, key=lambda gpu: -search.free[gpu.key])
    for count in range(1, len(emptiest) + 1):
        gpus = tuple(sorted(emptiest[:count], key=lambda gpu: gpu.index))
        needs = demand.needs(1, count)
        if needs.ram_bytes <= search.ram and all(search.free[gpu.key] >= needs.gpu_bytes for gpu in gpus):
            return Place(demand, needs, gpus, 1, count)
    if emptiest:
        parts = demand.needs()
        layers = most_gpu_layers(parts, demand.arch.layers, [search.free[gpu.key] for gpu in emptiest])
        halves = split(parts, demand.arch.layers, layers, len(emptiest))
        if layers and halves.ram_bytes <= search.ram:
            return Place(demand, halves, tuple(sorted(emptiest, key=lambda gpu: gpu.index)), 1, len(emptiest), layers)
    needs = demand.needs(device="cpu")
    return Place(demand, needs) if needs.ram_bytes <= search.ram else Place(demand)


def _together(search: _Search, places: list[Place]) -> int:
    """Return how many of Ollama's models are in memory at once, those that come first in the list."""
    free, ram = dict(search.free), search.ram
    for number, one in enumerate(places):
        needs = one.needs
        if needs is None:
            return max(1, number) if number else 0
        ram -= needs.ram_bytes
        for gpu in one.gpus:
            free[gpu.key] -= needs.gpu_bytes
        if ram < 0 or any(size < 0 for size in free.values()):
            return max(1, number)
    return len(places)


def _size(demand: Demand) -> int:
    needs = demand.needs()
    return needs.gpu_bytes + needs.ram_bytes


def splits_evenly(arch: Architecture, count: int) -> bool:
    """Tell whether ``count`` GPUs can share each layer: by whole heads, with a KV head each or even copies of one."""
    return arch.heads % count == 0 and (arch.kv_heads % count == 0 or count % arch.kv_heads == 0)


def _shapes(demand: Demand, count: int, nvlink: bool) -> list[tuple[int, int]]:
    """Return how a model may be spread over ``count`` GPUs: (tensor parallel, pipeline parallel), the better first.

    Tensor parallelism splits heads evenly, and each GPU has a KV head of its own or they are copied evenly (vllm 0.32.0
    model_executor/models/llama.py). It sends much between GPUs, so without NVLink whole layers are better (docs of vLLM on parallelism).
    """
    if demand.shape:
        tensor, pipeline = demand.shape
        return [demand.shape] if tensor * pipeline == count else []
    arch = demand.arch
    shapes = [(count, 1)] if splits_evenly(arch, count) else []
    if count > 1 and count <= arch.layers:
        shapes.append((1, count))
    return shapes if nvlink or count == 1 else shapes[::-1]
