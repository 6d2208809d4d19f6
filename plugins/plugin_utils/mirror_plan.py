# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror publishes of the list ``llm_models``, and what that moves; decided on the controller before anything is fetched."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source, shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sizes import size_text
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sources import endpoint_of
from ansible_collections.onprem.llm.plugins.plugin_utils.models import checked_models


def mirror_publications(
    models: Any, network: Mapping[str, Any], root: str, *, update: bool = False, ignore: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the parameters of the module ``mirror_model`` for each model of the list that comes over the network, each once.

    Entries that take files of one revision of a repository become one publication with all these files. ``ignore`` are patterns of
    files that no repository is mirrored with, but for those that would take away a file that an entry names. ``with_token`` (bool)
    takes the place of the token. Files of hosts (``file:``) are not published, for they are carried to the hosts.
    """
    hub: dict[tuple[str, str], list[dict[str, Any]]] = {}
    ollama: dict[str, list[dict[str, Any]]] = {}
    for entry in checked_models(models):
        if not entry["source"]:
            continue
        ref = as_source(entry["source"])
        if isinstance(ref, HubRef):
            hub.setdefault((ref.repo, ref.revision), []).append({**entry, "ref": ref})
        elif isinstance(ref, OllamaRef):
            ollama.setdefault(str(ref.name), []).append({**entry, "ref": ref})
    revisions = [repo for (repo, _revision), entries in hub.items() if _is_wanted(entries)]
    found = [
        *(_of_hub(entries, alone=revisions.count(repo) == 1, ignore=ignore) for (repo, _revision), entries in hub.items()),
        *(_of_ollama(entries) for entries in ollama.values()),
    ]
    for params in found:
        params["root"] = root
        if params["state"] == "present":
            server = endpoint_of(as_source(params["source"]), network)
            # Whether the token may go there, not the token itself: what a loop goes over is printed.
            params.update(endpoint=server.get("endpoint", ""), with_token="token" in server)
            params["update"] = params["update"] or update
    return found


def _is_wanted(entries: Iterable[Mapping[str, Any]]) -> bool:
    return any(entry["state"] == "present" for entry in entries)


def _of_hub(entries: Sequence[Mapping[str, Any]], *, alone: bool, ignore: Sequence[str]) -> dict[str, Any]:
    present = [entry for entry in entries if entry["state"] == "present"]
    ref: HubRef = entries[0]["ref"]
    params: dict[str, Any] = {"source": f"hf:{ref.repo}@{ref.revision}", "state": "present" if present else "absent", "update": False}
    if not present:
        return params
    params["update"] = any(entry["update"] for entry in present)
    files = list(dict.fromkeys(entry["ref"].file for entry in present))
    used = [pattern for pattern in ignore if all(Wanted(ignore=(pattern,))(file) for file in files if file)]
    if "" not in files:
        # The module reads patterns; a name means itself.
        params["allow"] = [glob.escape(file) for file in files]
    elif used:
        params["ignore"] = used
    if ref.is_pinned and alone:
        # Clients that name no revision find it too.
        params["branch"] = "main"
    return params


def _of_ollama(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    present = [entry for entry in entries if entry["state"] == "present"]
    refs = sorted({str(entry["ref"]) for entry in present or entries})
    pins = sorted({entry["sha256"] for entry in present if entry["sha256"]})
    if len(refs) > 1 or len(pins) > 1:
        what = " and ".join(shown(ref) for ref in refs) if len(refs) > 1 else f"{refs[0]} with two digests"
        raise ModelError(f"llm_models has {what}, which would have one name on the mirror: give one of them another tag, or leave it out.")
    params: dict[str, Any] = {"source": refs[0], "state": "present" if present else "absent", "update": False}
    if present:
        params["update"] = any(entry["update"] for entry in present)
        params.update({"sha256": pins[0]} if pins else {})
    return params


def mirror_left_out(models: Any) -> list[str]:
    """Return the names of the models that a mirror does not publish, for their files lie on the hosts."""
    entries = [entry for entry in checked_models(models) if entry["source"] and entry["state"] == "present"]
    return [entry["name"] for entry in entries if isinstance(as_source(entry["source"]), FileRef)]


def mirror_report(results: Sequence[Mapping[str, Any]], others: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Return what publications would move: ``lines`` (list of str) for people, ``bytes`` (int) in all, ``needs`` and ``changed`` (bool).

    ``results`` are those of ``mirror_model`` in check mode. What several models share is counted once. ``others`` are, by what they
    publish, the results of ``mirror_wheels``, ``mirror_files``, ``mirror_apt`` and ``mirror_rpm`` in check mode.
    """
    others = others or {}
    seen: set[str] = set()
    total, lines = 0, []
    for result in results:
        missing = result.get("missing", {})
        again = sum(size for content, size in missing.items() if content in seen)
        seen.update(missing)
        moved = max(0, int(result.get("bytes_to_fetch", 0)) - again)
        total += moved
        lines.append(f"{result['name']}: {_told(result, moved)}")
    for what, result in others.items():
        total += int(result.get("bytes_fetched", 0))
        lines += _told_of_files(what, result)
    results = [*results, *others.values()]
    needs = [need for result in results for need in result.get("needs", [])]
    free = min((need["free"] for need in needs), default=None)
    lines.append(f"in all: {size_text(total)} to fetch" + (f", {size_text(free)} free" if free is not None else ""))
    return {"lines": lines, "bytes": total, "needs": needs, "changed": any(_is_to_do(result) for result in results)}


def _is_to_do(result: Mapping[str, Any]) -> bool:
    # Not ``changed``: a task that only looks says that it changes nothing.
    return bool(result["actions"])


def _told(result: Mapping[str, Any], moved: int) -> str:
    if "size" not in result:
        return "withdraw" if _is_to_do(result) else "not published"
    state = "publish" if _is_to_do(result) else "published"
    said = f"{state} {result['revision'][:12]}, {size_text(moved)} of {size_text(result['size'])} to fetch"
    return said + (f"; moved upstream to {result['moved_to'][:12]}" if result["moved_to"] else "")


def _told_of_files(what: str, result: Mapping[str, Any]) -> list[str]:
    offered = len(result.get("files", result.get("packages", [])))
    if not offered:
        return [f"{what}: withdraw"] if _is_to_do(result) else []
    state = "publish" if _is_to_do(result) else "published"
    return [f"{what}: {state} {offered} file{'' if offered == 1 else 's'}, {size_text(int(result.get('bytes_fetched', 0)))} to fetch"]
