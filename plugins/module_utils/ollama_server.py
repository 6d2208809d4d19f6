# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running server of Ollama on this host: what it has in memory, and how it lets go of it. A host without one is no error."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name
from ansible_collections.onprem.llm.plugins.module_utils.refs import ModelName

ANSWER_S = 5
LARGEST_ANSWER = 4 << 20


def is_loaded(url: str, name: ModelName) -> bool:
    """Tell whether a server runs at ``url`` and has the model in memory."""
    models = (_asked(f"{url}/api/ps") or {}).get("models")
    return isinstance(models, list) and any(_is_named(model, name) for model in models)


def unload(url: str, name: ModelName) -> bool:
    """Let the server free the memory of the model; False if it does not say that it did."""
    answer = _asked(f"{url}/api/generate", {"model": str(name), "keep_alive": 0, "stream": False})
    return bool(answer) and answer.get("done_reason") == "unload"


def _is_named(model: Any, name: ModelName) -> bool:
    try:
        return as_model_name(str(model["name"])).key == name.key
    except (ModelError, KeyError, TypeError):
        return False


def _asked(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what the server answers; nothing if there is none, or no answer that can be read. No proxy is used."""
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())  # noqa: S310  checked by as_server_url
    request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_S) as reply:
            answer = read_json(reply.read(LARGEST_ANSWER))
    except (OSError, HTTPException, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def as_server_url(text: str) -> str:
    """Accept the address of a server, without a path; an empty one means that there is none to tell."""
    if text and not text.startswith(("http://", "https://")):
        raise ModelError("url must be the address of Ollama, such as http://127.0.0.1:11434, but it is another text: correct it.")
    return text.rstrip("/")
