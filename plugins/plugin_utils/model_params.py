# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the checked model list: parameters of modules, and questions to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source, shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef
from ansible_collections.onprem.llm.plugins.module_utils.sizes import size_text
from ansible_collections.onprem.llm.plugins.module_utils.stamps import as_verify_days
from ansible_collections.onprem.llm.plugins.plugin_utils.model_sources import endpoint_of
from ansible_collections.onprem.llm.plugins.plugin_utils.models import VLLM_PORT, checked_models, parameters_of, vllm_instances

# The port of Ollama, unless the role is told another.
OLLAMA_PORT = 11434
OPEN: Mapping[str, Any] = MappingProxyType({"source": "open"})
# What is said of all models at once: how they come, and what becomes of a branch or tag that moved.
ALIKE = ("check_upstream", "verify_days", "workers", "rate_limit", "ca_content")
OLLAMA_KEYS = ("name", "state", "source", "sha256", "template", "system", "license")


def model_questions(
    models: Any, gateway_url: str, engines: Sequence[str], ollama_port: int = OLLAMA_PORT, vllm_port: int = VLLM_PORT
) -> list[dict[str, Any]]:
    """Return what to ask to verify the models that are present: url, model, deterministic and, where expected, prompt and pattern.

    A gateway answers for all models; where there is none (an empty URL), the engines of a host are asked on their own ports.
    """
    entries = [{**entry, "port": ollama_port} for entry in checked_models(models, "ollama")] + vllm_instances(models, int(vllm_port))
    asked = [entry for entry in entries if entry["state"] == "present" and (gateway_url or entry["engine"] in engines)]
    return [
        {"url": gateway_url or f"http://127.0.0.1:{entry['port']}", "model": entry["name"], "deterministic": True, **entry["expect"]}
        for entry in asked
    ]


def each_name(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return checked entries so that each alias has one of its own: for Ollama it is one more model of the same blobs."""
    return [{**entry, "name": name, "aliases": []} for entry in entries for name in (entry["name"], *entry["aliases"])]


def fetches(models: Any, engine: str) -> bool:
    """Tell whether a host with that engine has to fetch any of its models over the network."""
    present = (entry for entry in checked_models(models, engine) if entry["state"] == "present")
    return any(not isinstance(as_source(entry["source"]), FileRef) for entry in present)


def ollama_model_params(
    entry: Mapping[str, Any],
    models_dir: str,
    store: str,
    owner: str | None = None,
    group: str | None = None,
    network: Mapping[str, Any] = OPEN,
) -> dict[str, Any]:
    """Return the parameters of the module ``ollama_model`` for a checked entry."""
    places = {"models_dir": models_dir, "store": store, "owner": owner, "group": group}
    return _said({**_of_ollama(entry, network), **_alike(network), **places})


def ollama_models_params(
    entries: Sequence[Mapping[str, Any]],
    models_dir: str,
    store: str,
    owner: str | None = None,
    group: str | None = None,
    network: Mapping[str, Any] = OPEN,
    url: str = "",
) -> dict[str, Any]:
    """Return the parameters of the module ``ollama_models`` for checked entries."""
    places = {"models_dir": models_dir, "store": store, "owner": owner, "group": group, "url": url}
    return {"models": [_of_ollama(entry, network) for entry in entries], **_said({**_alike(network), **places})}


def vllm_model_params(
    entry: Mapping[str, Any],
    models_dir: str,
    store: str,
    owner: str | None = None,
    group: str | None = None,
    network: Mapping[str, Any] = OPEN,
) -> dict[str, Any]:
    """Return the parameters of the module ``vllm_model`` for an entry that ``vllm_instances`` returned."""
    if entry.get("engine") != "vllm" or "instance" not in entry:
        raise ModelError(f"The model {shown(str(entry.get('name')))} has no instance of vLLM: pass what vllm_instances returned.")
    params = {key: entry[key] for key in ("state", "source", "sha256")}
    params.update(name=entry["instance"], models_dir=models_dir, store=store, owner=owner, group=group)
    return _said({**params, **_way(entry, network), **_alike(network)})


def _of_ollama(entry: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    if entry.get("engine") != "ollama":
        raise ModelError(f"The model {shown(str(entry.get('name')))} is not one of Ollama: pass what checked_models('ollama') returned.")
    params = {key: entry[key] for key in OLLAMA_KEYS}
    return _said({**params, "parameters": parameters_of(entry), **_way(entry, network)})


def _way(entry: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Return how one model comes over the network; nothing for one that lies on the host, or that is to go."""
    ref = as_source(entry["source"]) if entry["source"] and entry["state"] == "present" else None
    if ref is None or isinstance(ref, FileRef):
        return {}
    return {"update": True if entry["update"] or network.get("update") else None, **endpoint_of(ref, network)}


def _alike(network: Mapping[str, Any]) -> dict[str, Any]:
    as_verify_days(network.get("verify_days") or None, "llm_verify_days")
    return {key: network.get(key) for key in ALIKE if network.get(key) is not False}


def _said(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if value not in (None, "")}


def download_plan(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each model that would be fetched, and one for all of them, from what the modules say in check mode."""
    fetched = [(str(result.get("name") or result.get("folder", "")), int(result.get("bytes_fetched", 0))) for result in results]
    lines = [f"{name}: {size_text(size)}" for name, size in fetched if size]
    return [*lines, f"In all {size_text(sum(size for _name, size in fetched))} to fetch."] if lines else ["No bytes to fetch."]
