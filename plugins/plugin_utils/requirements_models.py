# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirements of the models: their licence, a token for what is gated, room on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.entry import Entry
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sizes import catalogue_of, disk_bytes, place_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.resolve import entry_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import human
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Finding, passes, refused

# Networks in which models come from the Hub itself; a mirror was filled by somebody who had the token.
WITH_HUB = ("open", "registries")


def _all(case: Case) -> list[tuple[dict[str, Any], Entry | None]]:
    catalogue = catalogue_of(case)
    entries = [entry for engine in case.inputs["engines"] for entry in case.models(engine)]
    return [(entry, entry_of(entry["source"], catalogue)) for entry in entries]


def licences(case: Case) -> Iterator[Finding]:
    """Judge whether a model may be used for business."""
    for entry, found in _all(case):
        if not found or found.licence.commercial is not False:
            continue
        if case.inputs["accept_noncommercial"]:
            yield passes(f"The model {entry['name']} is under {found.licence.name}, which llm_accept_noncommercial_licences accepts.")
        else:
            yield refused(
                f"The model {entry['name']} is under {found.licence.name}, which allows no commercial use: choose another model, or set "
                "llm_accept_noncommercial_licences to true where that is what you do."
            )


def tokens(case: Case) -> Iterator[Finding]:
    """Judge whether what is gated can be fetched."""
    for entry, found in _all(case):
        if not entry["source"].startswith("hf:") or not found or not found.gated:
            continue
        if case.inputs["has_token"]:
            yield passes(f"The model {entry['name']} is gated, and llm_hub_token is set.")
        elif case.inputs["source"] in WITH_HUB and not _is_there(case, entry):
            yield refused(
                f"The model {entry['name']} comes from {entry['source']}, which is gated, but llm_hub_token is not set: accept its terms "
                "at Hugging Face and set llm_hub_token (in a vault), or choose a model that is not gated."
            )


def disk(case: Case) -> Iterator[Finding]:
    """Judge whether the models that are not there yet fit the file systems that they go to."""
    if not case.host:
        return
    wanted: dict[str, list[tuple[str, int]]] = {}
    free: dict[str, int] = {}
    catalogue = catalogue_of(case)
    for entry, _found in _all(case):
        file_system = case.disk(case.inputs["directories"][entry["engine"]])
        size = disk_bytes(entry, catalogue)
        if size and file_system and file_system["free"] is not None and not _is_there(case, entry):
            wanted.setdefault(file_system["mount"], []).append((entry["name"], size))
            free[file_system["mount"]] = file_system["free"]
    for mount, models in wanted.items():
        total, names, left = sum(size for _name, size in models), ", ".join(name for name, _size in models), free[mount]
        if total > left:
            yield refused(
                f"The models to be fetched ({names}) need {human(total)} on {mount}, but {human(left)} are free there: make room for "
                f"{human(total - left)} more, or set base_data_dir to a directory on another volume."
            )
        else:
            yield passes(f"The models to be fetched ({names}) need {human(total)} on {mount}, which has {human(left)} free.")


def _is_there(case: Case, entry: Mapping[str, Any]) -> bool:
    found = case.disk(place_of(entry, case.inputs["directories"]))
    return bool(found and found["exists"])
