# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requirement that models fit the memory of a host's GPUs and RAM: the planner's placement, and its words where it finds none."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sizes import catalogue_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.outcome import problems, where
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import Place, place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.plan import demand_of, settings_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.refusals import refusals, too_old, unjudged
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.resolve import entry_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Room, room_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import human
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Finding, note, passes, refused, unknown
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_shares import is_decided

# How a host is called in sentences that several hosts may share.
NAME = "the host"


def memory(case: Case) -> Iterator[Finding]:
    """Judge whether there is a place for all models."""
    if not case.host or case.host["memory"]["total"] is None:
        return
    room = room_of(NAME, case.host)
    demands = yield from _demands(case, room)
    options = {entry["name"]: entry["options"] for entry in case.models("vllm")}
    wrong = {one.name: list(refusals(one, options.get(one.name, {}), room)) for one in demands}
    placement = place(room, demands)
    for sentence in problems(placement, wrong):
        yield refused(sentence)
    decides = _role_decides(case, demands)
    for fitting in (one for one in placement.places if one.fits and not wrong[one.demand.name]):
        yield _fitting(fitting, decides)


def _role_decides(case: Case, demands: list[Demand]) -> bool:
    """Tell whether the role vllm gives models their GPUs by itself (vllm_shares.py): nobody has decided any, and all models are known."""
    entries = case.models("vllm")
    known_ones = [one for one in demands if one.engine == "vllm"]
    return case.inputs["vllm_gpu"] == "all" and not is_decided(entries) and len(known_ones) == len(entries)


def _demands(case: Case, room: Room) -> Generator[Finding, None, list[Demand]]:
    """Yield what cannot be judged; return the rest as the planner sees it."""
    found: list[Demand] = []
    entries = [entry for engine in case.inputs["engines"] for entry in case.models(engine)]
    catalogue, settings = catalogue_of(case), settings_of(case.inputs, room, entries)
    for entry in entries:
        try:
            demand = demand_of(entry, catalogue, None, settings)
        except ModelError as exc:
            missing = f"The size of the model {entry['name']} is not known: add it to llm_catalogue_extra."
            yield unknown(
                missing if entry_of(entry["source"], catalogue) is None else f"The model {entry['name']} could not be computed with. {exc}"
            )
            continue
        if why := unjudged(demand, room):
            yield unknown(f"{demand.said} is not judged. {why}")
        elif not too_old(demand, room):
            # What is too old is refused by another requirement.
            found.append(demand)
    return found


def _fitting(one: Place, decides: bool) -> Finding:
    """Say where a model goes; refuse it where its options do not let it go there."""
    wanted = {"tensor_parallel_size": one.tensor_parallel, "pipeline_parallel_size": one.pipeline_parallel}
    told = " and ".join(f"{name}: {size}" for name, size in wanted.items() if size > 1)
    if one.demand.engine == "vllm" and told and not one.demand.shape and not decides:
        return refused(
            f"{one.demand.said} fits over {len(one.gpus)} GPUs only: set {told} in its options, or let playbooks/plan.yml write them."
        )
    needs = one.needs
    parts = [f"{human(needs.gpu_bytes)} on each GPU"] if needs and one.gpus else []
    parts += [f"{human(needs.ram_bytes)} of RAM"] if needs else []
    text = f"{one.demand.said} goes on {where(one)} and takes {' and '.join(parts)}."
    if one.gpu_layers is not None:
        return note(f"{text} What the GPUs have no room for is computed on the processor, which is slow.")
    return passes(text)
