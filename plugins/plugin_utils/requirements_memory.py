# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requirement that models fit the memory of a host's GPUs and RAM: the planner's placement, and its words where it finds none."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sizes import catalogue_of, demand, known
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.outcome import problems, where
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import Place, Placement, place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import room_of
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Finding, gib, note, passes, refused, unknown
from ansible_collections.onprem.llm.plugins.plugin_utils.requirements_gpu import variant_of

# How a host is called in sentences that several hosts may share.
NAME = "the host"


def memory(case: Case) -> Iterator[Finding]:
    """Judge whether there is a place for all models."""
    if not case.host or case.host["memory"]["total"] is None:
        return
    on_gpu = {"vllm": variant_of(case) == "cuda", "ollama": case.inputs["ollama_gpu"] != "none"}
    demands = yield from _demands(case)
    if case.host["gpus"] is None and any(on_gpu[one.engine] for one in demands):
        yield unknown("Whether the models fit the GPU is not known while its driver does not work.")
        return
    for uses in (True, False):
        asked = [one for one in demands if on_gpu[one.engine] is uses]
        facts = case.host if uses else {**case.host, "gpus": []}
        if asked:
            yield from _judged(case, place(room_of(NAME, facts), asked))


def _demands(case: Case) -> Generator[Finding, None, list[Demand]]:
    """Yield what cannot be judged; return the rest as the planner sees it."""
    found: list[Demand] = []
    catalogue = catalogue_of(case)
    for entry in (entry for engine in case.inputs["engines"] for entry in case.models(engine)):
        try:
            found.append(demand(case, entry, catalogue))
        except ModelError as exc:
            missing = f"The size of the model {entry['name']} is not known: add it to llm_catalogue_extra."
            yield unknown(missing if known(entry, catalogue) is None else f"The model {entry['name']} could not be computed with. {exc}")
    return found


def _judged(case: Case, placement: Placement) -> Iterator[Finding]:
    entries = {entry["name"]: entry for engine in case.inputs["engines"] for entry in case.models(engine)}
    for sentence in problems(placement):
        yield refused(sentence)
    for one in (one for one in placement.places if one.fits):
        options = {str(key).replace("-", "_"): value for key, value in entries[one.demand.name]["options"].items()}
        yield _fitting(one, options, len(placement.room.gpus))


def _fitting(one: Place, options: Mapping[str, Any], gpus: int) -> Finding:
    """Say where a model goes; refuse it where its options do not let it go there."""
    asked = one.demand
    said = f"{asked.name} ({asked.quantisation}, {asked.context} tokens, {asked.users} users)"
    wanted = {"tensor_parallel_size": one.tensor_parallel, "pipeline_parallel_size": one.pipeline_parallel}
    missing = {name: size for name, size in wanted.items() if size > 1 and not options.keys() & wanted.keys()}
    spread = math.prod(int(options[name]) for name in wanted if str(options.get(name, "")).isdigit())
    if asked.engine == "vllm" and gpus < spread and one.gpus:
        return refused(f"{said} is to be spread over {spread} GPUs, but the host has {gpus}: lower tensor_parallel_size in its options.")
    if asked.engine == "vllm" and missing:
        told = " and ".join(f"{name}: {size}" for name, size in missing.items())
        return refused(f"{said} fits over {len(one.gpus)} GPUs only: set {told} in its options, or let playbooks/plan.yml write them.")
    needs = one.needs
    parts = [f"{gib(needs.gpu_bytes)} on each GPU"] if needs and one.gpus else []
    parts += [f"{gib(needs.ram_bytes)} of RAM"] if needs else []
    text = f"{said} goes on {where(one)} and takes {' and '.join(parts)}."
    if one.gpu_layers is not None:
        return note(f"{text} What the GPUs have no room for is computed on the processor, which is slow.")
    return passes(text)
