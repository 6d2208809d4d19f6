# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One entry of the catalogue, and what it must look like: a small check whose errors are sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture, checked_architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import FORMATS, MIXES, quantisation_named

REPO = re.compile(r"[\w.-]+/[\w.-]+")
TAG = re.compile(r"(?:[\w.-]+/)?[\w.-]+:[\w.-]+")
LANGUAGE = re.compile(r"[a-z]{2,3}")
TASKS = ("chat", "code", "reasoning", "vision", "embedding")


@dataclass(frozen=True)
class Licence:
    """Under what terms a model may be used; ``commercial`` is None where nobody could tell."""

    name: str | None
    commercial: bool | None
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class Size:
    """The size of one file of Ollama's library: exact, or as its web page rounds it to two digits.

    ``override`` marks a file that is not what its label says, so that its size is not the one computed.
    """

    quantisation: str
    bytes: int | None
    rounded: int | None
    date: str
    source: str
    override: bool = False
    blob: str = ""


@dataclass(frozen=True)
class Entry:
    """One model."""

    id: str
    family: str
    date: str
    hf: str
    ollama: tuple[str, ...]
    aliases: tuple[str, ...]
    architecture: Architecture
    architecture_source: str
    parameters: int
    parameters_active: int
    parameters_note: str
    max_context: int
    max_context_source: str
    hub_quantisation: str
    ollama_quantisation: str
    licence: Licence
    gated: bool | None
    gated_source: str
    languages: tuple[str, ...]
    languages_note: str
    languages_source: str
    tasks: tuple[str, ...]
    tasks_source: str
    sizes: tuple[Size, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that means this entry, each once."""
        return tuple(dict.fromkeys(name for name in (self.id, self.hf, *self.ollama, *self.aliases) if name))

    def known_bytes(self, quantisation: str) -> int | None:
        """Return the size of Ollama's file: exact, or rounded where the file is not what its label says."""
        fit = [size for size in self.sizes if size.quantisation == quantisation]
        exact = next((size.bytes for size in fit if size.bytes), None)
        return exact or next((size.rounded for size in fit if size.override), None)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _texts(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(item, str) and pattern.fullmatch(item) for item in value)


def _choice(value: Any) -> bool:
    return value is None or isinstance(value, bool)


# Key: is it needed, what it must be, and how that is tested.
KEYS: dict[str, tuple[bool, str, Callable[[Any], bool]]] = {
    "id": (True, "a text", _text),
    "family": (True, "a text", _text),
    "date": (False, "a date as text", lambda value: isinstance(value, str)),
    "hf": (False, "a repository such as org/name", lambda value: isinstance(value, str) and bool(REPO.fullmatch(value))),
    "ollama": (False, "a list of tags such as qwen2.5:7b", _texts(TAG)),
    "aliases": (False, "a list of names", _texts(re.compile(r"\S.*"))),
    "architecture": (True, "a mapping", lambda value: isinstance(value, Mapping)),
    "architecture_source": (False, "a text", _text),
    "parameters": (False, "a whole number", _count),
    "parameters_active": (False, "a whole number", _count),
    "parameters_note": (False, "a text", _text),
    "max_context": (True, "a whole number", _count),
    "max_context_source": (False, "a text", _text),
    "hub_quantisation": (False, f"one of {', '.join(FORMATS)}", lambda value: isinstance(value, str) and value in FORMATS),
    "ollama_quantisation": (False, f"one of {', '.join(MIXES)}", lambda value: value in MIXES),
    "licence": (True, "a mapping", lambda value: isinstance(value, Mapping)),
    "gated": (False, "a mapping", lambda value: isinstance(value, Mapping)),
    "languages": (False, "a mapping", lambda value: isinstance(value, Mapping)),
    "tasks": (False, f"a list of {', '.join(TASKS)}", _texts(re.compile("|".join(TASKS)))),
    "tasks_source": (False, "a text", _text),
    "sizes": (False, "a list of mappings", lambda value: isinstance(value, list) and all(isinstance(item, Mapping) for item in value)),
}
LICENCE = {
    "name": (True, "a text or null", lambda value: value is None or _text(value)),
    "commercial": (True, "true, false or null", _choice),
    "note": (False, "a text", _text),
    "source": (False, "a text", _text),
}
GATED = {"value": (True, "true, false or null", _choice), "source": (False, "a text", _text)}
LANGUAGES = {
    "codes": (True, "a list of codes such as en", _texts(LANGUAGE)),
    "note": (False, "a text", _text),
    "source": (False, "a text", _text),
}
SIZE = {
    "quantisation": (True, "a quantisation", _text),
    "bytes": (False, "a whole number", _count),
    "rounded": (False, "a whole number", _count),
    "blob": (False, "a text", _text),
    "date": (False, "a date", lambda value: bool(str(value))),
    "source": (False, "a text", _text),
    "override": (False, "true or false", lambda value: isinstance(value, bool)),
}


def entry_of(item: Mapping[str, Any]) -> Entry:
    """Return the entry that a mapping describes; ModelError for the first thing that cannot be."""
    where = f"The model {item.get('id')!r} of the catalogue"
    _check(item, KEYS, where)
    licence, gated, languages = item["licence"], item.get("gated") or {"value": None}, item.get("languages") or {"codes": []}
    for name, part, keys in (("licence", licence, LICENCE), ("gated", gated, GATED), ("languages", languages, LANGUAGES)):
        _check(part, keys, f"{where}: {name}")
    return Entry(
        id=item["id"],
        family=item["family"],
        date=item.get("date", ""),
        hf=item.get("hf", ""),
        ollama=tuple(item.get("ollama", ())),
        aliases=tuple(item.get("aliases", ())),
        architecture=checked_architecture({**item["architecture"], "max_context": item["max_context"]}, where),
        architecture_source=item.get("architecture_source", ""),
        parameters=item.get("parameters", 0),
        parameters_active=item.get("parameters_active", 0),
        parameters_note=item.get("parameters_note", ""),
        max_context=item["max_context"],
        max_context_source=item.get("max_context_source", ""),
        hub_quantisation=item.get("hub_quantisation", "bf16"),
        ollama_quantisation=item.get("ollama_quantisation", "q4_k_m"),
        licence=Licence(**licence),
        gated=gated["value"],
        gated_source=gated.get("source", ""),
        languages=tuple(languages["codes"]),
        languages_note=languages.get("note", ""),
        languages_source=languages.get("source", ""),
        tasks=tuple(item.get("tasks", ())),
        tasks_source=item.get("tasks_source", ""),
        sizes=tuple(_size(size, where) for size in item.get("sizes", ())),
    )


def _size(item: Mapping[str, Any], where: str) -> Size:
    _check(item, SIZE, f"{where}: sizes")
    try:
        name = quantisation_named(item["quantisation"])
    except ModelError as exc:
        raise ModelError(f"{where}: sizes: {exc}") from None
    if not item.get("bytes") and not item.get("rounded"):
        raise ModelError(f"{where}: sizes: {name} must have bytes or rounded, but has neither: add one.")
    given = {key: item.get(key) for key in ("bytes", "rounded")}
    return Size(
        quantisation=name,
        date=str(item.get("date", "")),
        source=item.get("source", ""),
        override=item.get("override", False),
        blob=item.get("blob", ""),
        **given,
    )


def _check(item: Mapping[str, Any], keys: Mapping[str, tuple[bool, str, Callable[[Any], bool]]], where: str) -> None:
    unknown = sorted(str(key) for key in set(item) - set(keys))
    if unknown:
        raise ModelError(f"{where} has the unknown key {unknown[0]!r}: the keys are {', '.join(keys)}.")
    for key, (needed, wanted, is_fit) in keys.items():
        if key not in item:
            if needed:
                raise ModelError(f"{where} must have {key}, {wanted}, but has none: add it.")
        elif not is_fit(item[key]):
            raise ModelError(f"{where}: {key} must be {wanted}, but it is {item[key]!r}: correct it.")
