# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requirement that models fit the memory of a host's GPUs and RAM, by the formulas of the planner."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sizes import Sized, catalogue_of, known, sized
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Device, Needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.vllm_pool import HIGHEST_UTILISATION
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Finding, gib, note, passes, refused, unknown
from ansible_collections.onprem.llm.plugins.plugin_utils.requirements_gpu import variant_of

SMALLEST_CONTEXT = 1024
# Most GPUs that one machine has.
MOST_GPUS = 16


def memory(case: Case) -> Iterator[Finding]:
    """Judge each model by itself, and those of vLLM, which are all in memory at once, together."""
    if not case.host or case.host["memory"]["total"] is None:
        return
    catalogue, found = catalogue_of(case), []
    for entry in (entry for engine in case.inputs["engines"] for entry in case.models(engine)):
        try:
            one = sized(case, entry, catalogue)
            # What the engine cannot serve is refused by the formulas themselves.
            one.needs("gpu"), one.needs("cpu")
            found.append(one)
        except ModelError as exc:
            missing = f"The size of the model {entry['name']} is not known: add it to llm_catalogue_extra."
            yield unknown(missing if known(entry, catalogue) is None else f"The model {entry['name']} could not be computed with. {exc}")
    gpus = _gpus(case)
    if gpus is None:
        yield unknown("Whether the models fit the GPU is not known while its driver does not work.")
        return
    on_vllm = [one for one in found if one.entry["engine"] == "vllm"]
    if variant_of(case) == "cuda":
        yield from _on_gpus(on_vllm, gpus)
    else:
        yield from _in_ram(on_vllm, case.host["memory"]["total"])
    for one in (one for one in found if one.entry["engine"] == "ollama"):
        yield _by_ollama(one, gpus if case.inputs["ollama_gpu"] != "none" else [], case.host["memory"]["total"])


def _gpus(case: Case) -> list[int] | None:
    """Return the memory of each GPU of NVIDIA; None where that is not known."""
    if case.host["gpus"] is None:
        return None
    return [int(gpu["memory_total"]) for gpu in case.host["gpus"] if gpu["vendor"] == "nvidia" and gpu["memory_total"]]


def _on_gpus(models: list[Sized], gpus: list[int]) -> Iterator[Finding]:
    if not gpus:
        return
    room = int(min(gpus) * HIGHEST_UTILISATION)
    fitting = []
    for one in models:
        needed, count = one.needs("gpu").gpu_bytes, one.gpus[0] * one.gpus[1]
        if count > len(gpus):
            yield refused(
                f"{one.said} is to be spread over {count} GPUs, but the host has {len(gpus)}: lower tensor_parallel_size in its options."
            )
        elif needed > room:
            yield refused(f"{one.said} needs {gib(needed)} on {_each(count)}, {_short(needed, room)} {_wider(one, room, len(gpus))}")
        else:
            fitting.append((one, needed * count))
            yield passes(f"{one.said} needs {gib(needed)} on {_each(count)}, which has {gib(room)} for it.")
    yield from _together(fitting, int(sum(gpus) * HIGHEST_UTILISATION), "on the GPUs")


def _in_ram(models: list[Sized], total: int) -> Iterator[Finding]:
    fitting = []
    for one in models:
        needed = one.needs("cpu").ram_bytes
        if needed > total:
            yield refused(f"{one.said} needs {gib(needed)} of memory, {_short(needed, total)} {_remedy(one, _ram, total)}")
        else:
            fitting.append((one, needed))
            yield passes(f"{one.said} needs {gib(needed)} of memory, and the host has {gib(total)}.")
    yield from _together(fitting, total, "of memory")


def _together(models: list[tuple[Sized, int]], room: int, kind: str) -> Iterator[Finding]:
    total = sum(needed for _one, needed in models)
    if len(models) > 1 and total > room:
        names = ", ".join(one.entry["name"] for one, _needed in models)
        yield refused(
            f"The models of vLLM ({names}) need {gib(total)} {kind} all in all, {_short(total, room)} "
            "Give one of them another host, or lower a context or a number of users."
        )


def _by_ollama(one: Sized, gpus: list[int], ram: int) -> Finding:
    """Judge a model of Ollama, which loads one when it is asked for, and computes on the processor what GPUs have no room for."""
    room, whole = sum(gpus) + ram, one.needs("cpu").ram_bytes
    if whole > room:
        where = "of GPU memory and RAM" if gpus else "of memory"
        return refused(f"{one.said} needs {gib(whole)} {where}, {_short(whole, room)} {_remedy(one, _ram, room)}")
    if not gpus:
        return passes(f"{one.said} needs {gib(whole)} of memory, and the host has {gib(ram)}.")
    needed, have = one.needs("gpu").gpu_bytes, sum(gpus)
    if needed > have:
        return note(
            f"{one.said} needs {gib(needed)} on the GPUs, which have {gib(have)}: {gib(needed - have)} will be computed on the processor, "
            "which is slow."
        )
    return passes(f"{one.said} needs {gib(needed)} on the GPUs, which have {gib(have)}.")


def _short(needed: int, room: int) -> str:
    return f"but {gib(room)} are to be had: {gib(needed - room)} too little."


def _ram(wanted: Needs) -> int:
    return wanted.ram_bytes


def _gpu(wanted: Needs) -> int:
    return wanted.gpu_bytes


def _wider(one: Sized, room: int, count: int) -> str:
    """Return over how many GPUs a model fits, where that helps, or else another change."""
    for wide in (2, 4, 8, MOST_GPUS):
        if one.gpus[0] < wide <= count and one.needs("gpu", tensor_parallel=wide).gpu_bytes <= room:
            return f"With tensor_parallel_size: {wide} in its options it fits."
    return _remedy(one, _gpu, room)


def _remedy(one: Sized, part: Callable[[Needs], int], room: int) -> str:
    """Return the smallest change that makes a model fit: a shorter context, fewer users, or another model."""
    device: Device = "gpu" if part is _gpu else "cpu"
    context = one.context
    while context > SMALLEST_CONTEXT:
        context = 1 << ((context - 1).bit_length() - 1)
        if part(one.needs(device, context)) <= room:
            return f"With a context of {context} tokens it fits."
    for users in range(one.users - 1, 0, -1):
        if part(one.needs(device, users=users)) <= room:
            return f"With {users} at once it fits."
    if part(one.needs(device, SMALLEST_CONTEXT, 1)) <= room:
        return f"With one at once and {SMALLEST_CONTEXT} tokens it fits."
    return "No context is short enough: choose a smaller quantisation, a smaller model or a larger host."


def _each(count: int) -> str:
    return "one GPU" if count == 1 else f"each of {count} GPUs"
