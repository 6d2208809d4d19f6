# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a wish to a choice: which models of the catalogue do what is wanted and fit, the best first, each with its reasons.

The order: what lies whole in GPU memory before what does not, then more parameters, then more bits for each, then vLLM where several users
share a GPU and Ollama elsewhere, then the cheaper room. More parameters stand for better answers within a task; where two models are of one
size that is not so, and a trial decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import TASKS, Entry
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import Catalogue, load
from ansible_collections.onprem.llm.plugins.plugin_utils.models import ENGINES, LARGEST_CONTEXT, MOST_USERS
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.instances import Instance, instances, table
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.outcome import where
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import Place, place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.refusals import too_old, unjudged
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Room, room_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import human

CONTEXT, USERS, CHOICES = 8192, 1, 5
MOST_CHOICES = 50
# From so many users on vLLM is proposed where a GPU is: it computes their requests together (docs of vLLM on continuous batching).
MANY = 4
# Quantisations that are proposed, and what they are called. Fewer bits than these cost visible quality (llama.cpp tools/quantize README).
OLLAMA_MIXES = ("q8_0", "q4_k_m", "q4_0", "mxfp4")


@dataclass(frozen=True)
class Wish:
    """What is wanted: a task, a language, users at once and context (tokens); an engine, a budget in USD per hour."""

    task: str = "chat"
    language: str = "en"
    users: int = USERS
    context: int = CONTEXT
    engine: str = ""
    commercial: bool = True
    gated: bool = True
    budget: float | None = None
    choices: int = CHOICES


KINDS: dict[str, tuple[str, Any]] = {
    "task": (f"one of {', '.join(TASKS)}", lambda value: value in TASKS),
    "language": ("a code such as en or ko", lambda value: isinstance(value, str) and 2 <= len(value) <= 3 and value.isalpha()),
    "users": (f"a whole number from 1 to {MOST_USERS}", lambda value: _is_count(value, MOST_USERS)),
    "context": (f"a number of tokens from 1 to {LARGEST_CONTEXT}", lambda value: _is_count(value, LARGEST_CONTEXT)),
    "engine": (f"one of {', '.join(ENGINES)}", lambda value: value in ENGINES),
    "commercial": ("true or false", lambda value: isinstance(value, bool)),
    "gated": ("true or false", lambda value: isinstance(value, bool)),
    "budget": ("a price in USD per hour", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0),
    "choices": (f"a whole number from 1 to {MOST_CHOICES}", lambda value: _is_count(value, MOST_CHOICES)),
}


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def wish_of(text: Any) -> Wish:
    """Return the wish that a mapping describes; ModelError for the first thing that cannot be."""
    if not isinstance(text, Mapping):
        raise ModelError(f"llm_wish must be a mapping with any of {', '.join(KINDS)}, but it is {text!r}: see docs/plan.md.")
    unknown = sorted(str(key) for key in set(text) - set(KINDS))
    if unknown:
        raise ModelError(f"llm_wish has the unknown key {unknown[0]!r}: the keys are {', '.join(KINDS)}.")
    for key, value in text.items():
        wanted, is_fit = KINDS[key]
        if not is_fit(value):
            raise ModelError(f"llm_wish: {key} must be {wanted}, but it is {value!r}: correct it.")
    plain: dict[str, Any] = {key: str(value) if isinstance(value, str) else value for key, value in text.items()}
    return Wish(**plain)


@dataclass(frozen=True)
class Choice:
    """A model that does what is wanted, where it goes, and at what price per hour."""

    entry: Entry
    place: Place
    room: Room
    usd_hour: float | None = None
    # The language that is wanted, where the card does not name it but says that there are more than it names.
    unnamed: str = ""

    @property
    def rank(self) -> tuple[Any, ...]:
        """Return what sorts choices, the best first."""
        demand = self.place.demand
        whole = bool(self.place.gpus) and self.place.gpu_layers is None
        wanted = "vllm" if self.place.gpus and demand.users >= MANY else "ollama"
        return (
            not whole,
            bool(self.unnamed),
            -self.entry.parameters,
            -self.bits,
            demand.engine != wanted,
            self.usd_hour or 0.0,
            self.room.host,
        )

    @property
    def bits(self) -> float:
        """Return the bits of its files for each parameter."""
        disk = self.place.needs.disk_bytes if self.place.needs else 0
        return round(disk * 8 / max(1, self.entry.parameters), 1)

    @property
    def source(self) -> str:
        """Return what to write into ``source``."""
        demand = self.place.demand
        if demand.engine == "vllm":
            return f"hf:{self.entry.hf}"
        return f"ollama:{demand.name}"

    def told(self) -> dict[str, Any]:
        """Return the choice as an entry for ``llm_models``, with reasons."""
        demand = self.place.demand
        entry = {"name": self.entry.id, "source": self.source, "engine": demand.engine, "context": demand.context, "users": demand.users}
        return {
            "entry": entry,
            "where": f"{self.room.host}: {where(self.place)}",
            "usd_hour": self.usd_hour,
            "reasons": list(self._reasons()),
        }

    def _reasons(self) -> Iterator[str]:
        entry, demand, needs = self.entry, self.place.demand, self.place.needs
        yield f"{entry.parameters / 1e9:.1f} billion parameters in {demand.quantisation} ({self.bits} bits each)"
        if needs and self.place.gpus:
            spare = min(gpu.total for gpu in self.place.gpus) - needs.gpu_bytes
            yield f"{human(needs.gpu_bytes)} on each of {len(self.place.gpus)} GPU, {human(spare)} to spare for {demand.users} users"
        elif needs:
            yield f"{human(needs.ram_bytes)} of RAM, {human(self.room.ram - needs.ram_bytes)} to spare; on the CPU answers are slow"
        yield f"tasks {', '.join(entry.tasks)} ({entry.tasks_source or 'no source'})"
        languages = ", ".join(entry.languages) or "not written down"
        yield f"languages {languages}" + (f", {entry.languages_note}" if entry.languages_note else "")
        if self.unnamed:
            yield f"its card does not name the language '{self.unnamed}': try it"
        licence = entry.licence
        terms = {True: "commercial use allowed", False: "no commercial use", None: "read it before commercial use"}[licence.commercial]
        yield f"licence {licence.name or 'unknown'}, {terms}"
        if entry.gated and demand.engine == "vllm":
            yield "gated: accept its conditions on the Hub and set llm_hub_token"
        if self.usd_hour is not None:
            yield f"{self.usd_hour:.2f} USD per hour on demand in {table()['region']}, prices of {table()['date']}"


def choices_of(wish: Wish, rooms: list[tuple[Room, float | None]], catalogue: Catalogue) -> list[Choice]:
    """Return the best choice of each model that does what is wanted and fits into one of the rooms, the best first."""
    best: dict[str, Choice] = {}
    for entry in catalogue.entries.values():
        for demand in _demands(wish, entry):
            found = _cheapest(entry, demand, rooms, "" if _names(entry, wish.language) else wish.language)
            if found and (entry.id not in best or found.rank < best[entry.id].rank):
                best[entry.id] = found
    return sorted(best.values(), key=lambda choice: choice.rank)[: wish.choices]


def _cheapest(entry: Entry, demand: Demand, rooms: list[tuple[Room, float | None]], unnamed: str) -> Choice | None:
    judged = [(room, price) for room, price in rooms if not unjudged(demand, room) and not too_old(demand, room)]
    found = [Choice(entry, one, room, price, unnamed) for room, price in judged for one in place(room, [demand]).places if _fits(one, room)]
    return min(found, key=lambda choice: choice.rank, default=None)


def _fits(one: Place, room: Room) -> bool:
    """Tell whether there is room for a model, its files among it."""
    return one.needs is not None and (room.disk is None or one.needs.disk_bytes <= room.disk)


def _demands(wish: Wish, entry: Entry) -> Iterator[Demand]:
    """Yield the ways to serve a model that does what is wanted."""
    if wish.task not in entry.tasks or not _speaks(entry, wish.language) or wish.context > entry.max_context:
        return
    if wish.commercial and entry.licence.commercial is not True:
        return
    arch = entry.architecture
    if wish.engine != "vllm" and entry.ollama:
        for mix in dict.fromkeys(size.quantisation for size in entry.sizes if size.quantisation in OLLAMA_MIXES):
            yield Demand(_tag(entry, mix), "ollama", arch, mix, wish.context, wish.users, entry.known_bytes(mix))
    if wish.engine != "ollama" and entry.hf and (wish.gated or not entry.gated):
        yield Demand(entry.id, "vllm", arch, entry.hub_quantisation, wish.context, wish.users)


def _speaks(entry: Entry, language: str) -> bool:
    """Tell whether a model may know a language: its card names it, or says that there are more than it names."""
    return _names(entry, language) or bool(entry.languages_note)


def _names(entry: Entry, language: str) -> bool:
    """Tell whether a model's card names a language; where nobody has written any down, English is what it knows."""
    return language.lower() in (entry.languages or ("en",))


def _tag(entry: Entry, mix: str) -> str:
    """Return the tag of Ollama's library: the short one where it means this quantisation, else the one that names it."""
    if mix == entry.ollama_quantisation:
        return entry.ollama[0]
    longest = max(entry.ollama, key=len)
    parts = mix.split("_")
    spelled = "_".join([parts[0], *(part.upper() if not part.isdigit() else part for part in parts[1:])])
    return f"{longest}-{spelled}"


def llm_choices(wish: Any, hosts: Mapping[str, Any] | None = None, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what to choose (dict): ``choices``, the best first, and ``lines`` for people.

    ``wish`` is ``llm_wish``; ``hosts`` is a mapping of names to what ``host_info`` returned as ``host``. With a budget the rooms are
    instance types of EC2 at that price, otherwise the hosts. ``inputs`` may have ``catalogue_extra``, and ``data_dir``, where models go.
    """
    wanted = wish_of(wish)
    catalogue = load((inputs or {}).get("catalogue_extra"))
    if wanted.budget is not None:
        offers: list[Instance] = instances(wanted.budget)
        rooms: list[tuple[Room, float | None]] = [(offer.room, offer.usd_hour) for offer in offers]
    else:
        data_dir = str((inputs or {}).get("data_dir") or "")
        rooms = [(room_of(name, facts, data_dir), None) for name, facts in (hosts or {}).items()]
    found = [choice.told() for choice in choices_of(wanted, rooms, catalogue)]
    nothing = "" if found else _why_nothing(wanted, catalogue, len(rooms))
    return {"choices": found, "lines": list(_lines(wanted, found, len(rooms), nothing))}


def _why_nothing(wish: Wish, catalogue: Catalogue, rooms: int) -> str:
    """Say what left nothing to choose from."""
    able = [entry for entry in catalogue.entries.values() if wish.task in entry.tasks]
    if not able:
        tasks = sorted({task for entry in catalogue.entries.values() for task in entry.tasks})
        return f"No model of the catalogue has the task {wish.task}: ask for one of {', '.join(tasks)}, or use llm_catalogue_extra."
    if not any(_speaks(entry, wish.language) for entry in able):
        return (
            f"No card of a model for {wish.task} names the language '{wish.language}' or more languages than it names: ask for "
            "'en' and try what is proposed, or add the language to a model by llm_catalogue_extra."
        )
    if not rooms:
        return "No instance type costs so little: raise the budget." if wish.budget is not None else "No host was looked at: name some."
    return "Nothing of the catalogue fits: allow fewer users, a shorter context, another language or licence, or a larger host."


def _lines(wish: Wish, found: list[dict[str, Any]], rooms: int, nothing: str) -> Iterator[str]:
    place_word = f"within {wish.budget:g} USD per hour" if wish.budget is not None else f"on {rooms} hosts"
    yield f"{wish.task} in '{wish.language}' for {wish.users} users with {wish.context} tokens each, {place_word}:"
    if nothing:
        yield f"  {nothing}"
    for number, choice in enumerate(found, start=1):
        entry = choice["entry"]
        yield f"  {number}. {entry['name']} by {entry['engine']}, {choice['where']}: {entry['source']}"
        yield from (f"       {reason}" for reason in choice["reasons"])
