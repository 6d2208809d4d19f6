# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a placement means: variables for the roles, sentences for what does not fit, and a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.overhead import VLLM_BATCHED_TOKENS, vllm_step
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import Place, Placement, place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Room
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import GIB, human
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.vllm_pool import DEFAULT_UTILISATION, HIGHEST_UTILISATION, utilisation_for

# Contexts that are tried where a model does not fit with the one that was asked for: powers of two, as people write them.
SMALLEST_CONTEXT = 1024
# Quantisations that are tried for Ollama where no context is short enough, the best first.
LOWER_MIXES = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k")


def variables(placement: Placement, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the roles are told (dict): ``llm_placement`` with the parts of vLLM's ``models`` by name, and settings of the engines.

    ``entries`` are the checked entries of the host. Those that could not be judged are named too, so that a later run sees that they were
    there when the plan was made.
    """
    by_name = {one.demand.name: one for one in placement.places}
    parts = {entry["name"]: _part(placement, entry, by_name.get(entry["name"])) for entry in entries if entry["engine"] == "vllm"}
    told: dict[str, Any] = {"models": parts}
    loaded = [one for one in placement.places if one.demand.engine == "ollama" and one.fits]
    if loaded:
        told["ollama_num_parallel"] = max(one.demand.users for one in loaded)
        told["ollama_max_loaded_models"] = max(1, placement.together)
    pools = [_kv_gib(one.needs) for one in placement.places if one.demand.engine == "vllm" and one.needs and not one.gpus]
    if pools:
        told["vllm_cpu_kvcache_gib"] = max(pools)
    return {"llm_placement": told}


def _kv_gib(needs: Needs) -> int:
    """Return the KV cache of a model on the CPU in whole GiB, as vLLM is told it (VLLM_CPU_KVCACHE_SPACE)."""
    return max(1, -(-sum(term.bytes for term in needs.ram_terms if term.name == "KV cache") // GIB))


def _part(placement: Placement, entry: Mapping[str, Any], one: Place | None) -> dict[str, Any]:
    part: dict[str, Any] = {"source": entry["source"]}
    if one is None or not one.fits:
        return part
    part |= {"context": one.demand.context}
    options = gpu_options(placement, one) | ({"max_num_seqs": one.demand.users} if entry["users"] else {})
    part |= {"gpus": [gpu.key for gpu in one.gpus]} if one.gpus else {}
    return {**part, "options": options}


def gpu_options(placement: Placement, one: Place) -> dict[str, Any]:
    """Return the options that give a model of vLLM its part of the GPUs, and keep it within what was computed for it."""
    if not one.gpus:
        return {}
    part = utilisation(placement, one)
    options: dict[str, Any] = {
        "gpu_memory_utilization": part,
        "max_num_seqs": one.demand.sequences,
        "max_num_batched_tokens": _step(one, part),
    }
    options |= {"tensor_parallel_size": one.tensor_parallel} if one.tensor_parallel > 1 else {}
    return options | ({"pipeline_parallel_size": one.pipeline_parallel} if one.pipeline_parallel > 1 else {})


def _step(one: Place, part: float) -> int:
    """Return max_num_batched_tokens: what vLLM takes by itself on these GPUs, where the model's part has room for it."""
    counted = one.demand.batched_tokens
    if counted != VLLM_BATCHED_TOKENS:
        return counted
    own = min(vllm_step(gpu.name, gpu.total) for gpu in one.gpus)
    needs = replace(one.demand, batched_tokens=own).needs(one.tensor_parallel, one.pipeline_parallel)
    return own if all(needs.gpu_bytes <= gpu.total * part for gpu in one.gpus) else counted


def utilisation(placement: Placement, one: Place) -> float:
    """Return gpu_memory_utilization (fraction of a GPU): vLLM's default where a model has its GPUs for itself, else what it needs."""
    keys = {gpu.key for gpu in one.gpus}
    shared = any(keys & {gpu.key for gpu in other.gpus} for other in placement.places if other is not one and other.fits)
    needed = max(utilisation_for(gpu.total, one.needs.gpu_bytes) for gpu in one.gpus) if one.needs else DEFAULT_UTILISATION
    return needed if shared else max(needed, DEFAULT_UTILISATION)


def problems(placement: Placement, refused: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Iterator[str]:
    """Yield why models cannot be served, each sentence once.

    First what is ``refused`` of each model by name, which has to be mended first; then one sentence for each other model that does not
    fit: by how much, and the smallest change that would help.
    """
    yield from dict.fromkeys(chain(*refused.values()))
    for one in placement.places:
        if not one.fits and not refused.get(one.demand.name):
            yield _problem(placement, one.demand)


def _problem(placement: Placement, demand: Demand) -> str:
    room = placement.room
    alone = place(room, [demand]).fits
    gpus = room.gpus and not demand.on_cpu
    shape = demand.shape or (1, 1)
    needs = demand.needs(*shape) if gpus else demand.needs(device="cpu")
    if alone:
        return (
            f"{demand.said} fits on {room.host} by itself, but not beside the other models of the list: give one of them another host, "
            "or lower a context or a number of users."
        )
    if gpus:
        largest = int(max(gpu.total for gpu in room.gpus) * HIGHEST_UTILISATION)
        count = shape[0] * shape[1]
        said = f"{demand.said} needs {human(needs.gpu_bytes)} on " + ("one GPU" if count == 1 else f"each of {count} GPUs")
        said += f" and {human(needs.ram_bytes)} of RAM, but {room.host} has {_gpus(room)} and {human(room.ram)} of RAM for models"
        short = needs.gpu_bytes - largest
        said += f": {human(short)} too little" if short > 0 else ""
    else:
        said = f"{demand.said} needs {human(needs.ram_bytes)} of RAM, but {room.host} has {human(room.ram)} for models"
        said += f": {human(needs.ram_bytes - room.ram)} too little"
    return f"{said}. {_remedy(room, demand)}"


def _remedy(room: Room, demand: Demand) -> str:
    """Return the smallest change that makes one model fit: a shorter context, fewer users, the CPU, or another model."""
    context = demand.context
    while context > SMALLEST_CONTEXT:
        context = 1 << ((context - 1).bit_length() - 1)
        if place(room, [_with(demand, context, demand.users)]).fits:
            return f"With a context of {context} tokens it fits."
    # More users never need less, so that halves will do.
    fit, unfit = 0, demand.users
    while unfit - fit > 1:
        users = (fit + unfit) // 2
        fit, unfit = (users, unfit) if place(room, [_with(demand, demand.context, users)]).fits else (fit, users)
    if fit:
        return f"With {fit} users it fits."
    if place(room, [_with(demand, SMALLEST_CONTEXT, 1)]).fits:
        return f"With one user and {SMALLEST_CONTEXT} tokens it fits."
    if demand.engine == "vllm" and not demand.on_cpu and place(room, [replace(demand, on_cpu=True)]).fits:
        return "With vllm_variant set to cpu it fits, and is slow."
    lower = [replace(demand, quantisation=mix, weight_bytes=None) for mix in LOWER_MIXES] if demand.engine == "ollama" else []
    for other in lower:
        if other.needs().disk_bytes < demand.needs().disk_bytes and place(room, [other]).fits:
            return f"In {other.quantisation} it fits: take a tag or a file of that quantisation."
    return "No context is short enough: choose a lower quantisation, a smaller model or a larger host; 'llm_wish' proposes some."


def _with(demand: Demand, context: int, users: int) -> Demand:
    return replace(demand, context=context, users=users)


def _gpus(room: Room) -> str:
    """Return what GPUs a host has, in words."""
    kinds: dict[tuple[str, int], int] = {}
    for gpu in room.gpus:
        kinds[gpu.name, gpu.total] = kinds.get((gpu.name, gpu.total), 0) + 1
    return ", ".join(f"{count} x {name} with {human(total)}" for (name, total), count in kinds.items()) or "no GPU"


def table(placement: Placement) -> list[str]:
    """Return the lines of a table: what each model takes and where, and by which formula each number came about."""
    room = placement.room
    disk = f"; {human(room.disk)} of disk free" if room.disk is not None else ""
    lines = [f"{room.host}: {_gpus(room)}; {human(room.ram)} of RAM for models{disk}"]
    rows: list[tuple[str, ...]] = [("model", "engine", "quantisation", "context x users", "where", "per GPU", "RAM", "disk")]
    rows += [_row(one) for one in placement.places]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines += ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for one in placement.places:
        if one.needs is None:
            continue
        lines.append(f"  {one.demand.name}:")
        for kind, terms in (("GPU", one.needs.gpu_terms), ("RAM", one.needs.ram_terms), ("disk", one.needs.disk_terms)):
            lines += [f"    {kind:4} {human(term.bytes):>10}  {term.name} = {term.formula} [{term.source}]" for term in terms]
    loaded = [one for one in placement.places if one.demand.engine == "ollama" and one.fits]
    if len(loaded) > placement.together:
        lines.append(f"  Ollama keeps {placement.together} of its {len(loaded)} models in memory; another is loaded when it is asked for.")
    return [*lines, *(f"  {note}" for note in _notes(placement))]


def _row(one: Place) -> tuple[str, ...]:
    demand, needs = one.demand, one.needs
    head = (demand.name, demand.engine, demand.quantisation, f"{demand.context} x {demand.users}", where(one))
    if needs is None:
        return (*head, "-", "-", "-")
    return (*head, human(needs.gpu_bytes) if one.gpus else "-", human(needs.ram_bytes), human(needs.disk_bytes))


def where(one: Place) -> str:
    """Return in words where a model goes."""
    if not one.fits:
        return "does not fit"
    if not one.gpus:
        return "CPU"
    said = "GPU " + ", ".join(str(gpu.index) for gpu in one.gpus)
    if one.gpu_layers is not None:
        return f"{said} ({one.gpu_layers} of {one.demand.arch.layers} layers), CPU"
    if one.tensor_parallel > 1:
        return f"{said} (tensor parallel)"
    return f"{said} (by layers)" if one.pipeline_parallel > 1 else said


def _notes(placement: Placement) -> Iterator[str]:
    yield from placement.room.notes
    disk = sum(one.needs.disk_bytes for one in placement.places if one.needs)
    if placement.room.disk is not None and disk > placement.room.disk:
        yield (
            f"The models take {human(disk)} of disk, {human(disk - placement.room.disk)} more than is free: "
            "make room, unless they are there already."
        )
