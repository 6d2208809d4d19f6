# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of models: numbers, licence, languages and sizes of each, and the names it goes by.

The data are the YAML files beside this one; a user adds to them, or corrects them, with a list of the same shape, llm_catalogue_extra.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import Entry, entry_of
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.names import stem

FOLDER = Path(__file__).parent
SOURCES = "sources.yml"
# What a variant shares with the entry it is like; names and sizes are its own.
SHARED = (
    *("architecture", "architecture_source", "parameters", "parameters_active", "parameters_note", "max_context", "max_context_source"),
    *("licence", "gated", "languages", "tasks", "tasks_source", "hub_quantisation", "ollama_quantisation"),
)


@dataclass(frozen=True)
class Catalogue:
    """All entries, and the names by which they are found."""

    entries: Mapping[str, Entry]
    names: Mapping[str, str]
    stems: Mapping[str, str]

    def find(self, name: str) -> Entry | None:
        """Return the entry of an id, a repository of Hugging Face, a tag of Ollama or an alias, with or without a quantisation."""
        key = name.lower()
        found = self.names.get(key) or self.stems.get(stem(key))
        return self.entries[found] if found else None


def load(extra: Any = None) -> Catalogue:
    """Return the catalogue, with what the user adds; ModelError with one sentence for an entry that cannot be."""
    if not extra:
        return built_in()
    if not isinstance(extra, list) or not all(isinstance(item, Mapping) for item in extra):
        raise ModelError(f"llm_catalogue_extra must be a list of mappings, but it is {extra!r}: see docs/planner.md.")
    raw = {**raw_entries()}
    for position, item in enumerate(extra, start=1):
        key = item.get("id")
        if not isinstance(key, str) or not key:
            raise ModelError(f"llm_catalogue_extra entry {position} must have the text id, but it is {key!r}: name the model.")
        raw[key] = {"family": "extra", "date": "", **raw.get(key, {}), **item}
    return _catalogue(raw, "llm_catalogue_extra or the catalogue")


@cache
def built_in() -> Catalogue:
    """Return the catalogue of the collection."""
    return _catalogue(raw_entries(), "the catalogue")


@cache
def sources() -> Mapping[str, str]:
    """Return what the names of sources mean."""
    content: Mapping[str, str] = yaml.safe_load((FOLDER / SOURCES).read_text(encoding="utf-8"))
    return content


@cache
def raw_entries() -> dict[str, dict[str, Any]]:
    """Return the entries as they are written, by id, each with the family and the date of its file."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.yml")):
        if path.name == SOURCES:
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for item in content["models"]:
            if item["id"] in found:
                raise ModelError(f"The catalogue has {item['id']!r} twice, the second time in {path.name}: remove one.")
            found[item["id"]] = {"family": content["family"], "date": str(content["date"]), **item}
    return found


def _catalogue(raw: Mapping[str, Mapping[str, Any]], where: str) -> Catalogue:
    entries = {key: entry_of(_inherited(key, raw, where)) for key in raw}
    names: dict[str, str] = {}
    for entry in entries.values():
        for name in entry.names:
            owner = names.setdefault(name.lower(), entry.id)
            if owner != entry.id:
                raise ModelError(f"{where} has the name {name!r} for {owner!r} and for {entry.id!r}: give one of them another.")
    return Catalogue(entries, names, _unique_stems(entries.values()))


def _inherited(key: str, raw: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Return an entry with what it shares with the one it is like."""
    item = dict(raw[key])
    like = item.pop("like", None)
    if like is None:
        return item
    if not isinstance(like, str) or like not in raw or "like" in raw[like] or not isinstance(raw[like].get("architecture"), Mapping):
        raise ModelError(f"{where}: {key!r} is like {like!r}, which is no entry that stands for itself: correct the name.")
    base = raw[like]
    shared = {name: base[name] for name in SHARED if name in base}
    if isinstance(item.get("architecture"), Mapping):
        item["architecture"] = {**base["architecture"], **item["architecture"]}
    return {**shared, **item}


def _unique_stems(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the stems of names that mean one entry only."""
    owners: dict[str, set[str]] = {}
    for entry in entries:
        for name in entry.names:
            owners.setdefault(stem(name), set()).add(entry.id)
    return {name: ids.pop() for name, ids in owners.items() if len(ids) == 1}
