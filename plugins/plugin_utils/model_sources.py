# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server a model comes from: the network says where each kind of source is to be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, OllamaRef, SourceRef
from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import ArtefactError, endpoint

# The row of the artefact table, the input that takes its place, and how people call it.
HUB = ("hub", "hub_url", "Hugging Face's Hub")
REGISTRY = ("ollama-registry", "registry_url", "Ollama's registry")
VARIABLES = {"hub_url": "llm_hub_url", "registry_url": "llm_ollama_registry_url"}


def endpoint_of(ref: SourceRef, network: Mapping[str, Any]) -> dict[str, str]:
    """Return ``endpoint`` and, where it may be sent, ``token`` (str) for a source over the network.

    ``network`` has ``source`` (what ``llm_source`` says), ``mirror_url``, ``hub_url`` and ``registry_url`` (which take the place of the
    table's), and ``hub_token``. The token goes to the Hub itself or to the one server that was named in its place, never to a mirror.
    """
    row, key, called = HUB if isinstance(ref, HubRef) else REGISTRY
    named = str(network.get(key) or "")
    source = str(network.get("source") or "open")
    if isinstance(ref, OllamaRef) and ref.host and source in {"open", "registries"}:
        # It names its own server.
        return {}
    try:
        address = endpoint(row, source, str(network.get("mirror_url") or ""), named)
    except ArtefactError as exc:
        raise ModelError(f"The source '{ref}' comes from {called}. {exc}") from None
    if not address:
        raise ModelError(
            f"The source '{ref}' comes from {called}, but llm_source is '{source}', a network that reaches package registries only: "
            f"set {VARIABLES[key]} to a server that the host reaches, or carry the model in and name it with 'file:'."
        )
    token = str(network.get("hub_token") or "") if isinstance(ref, HubRef) and (named or source == "open") else ""
    return {"endpoint": address, **({"token": token} if token else {})}
