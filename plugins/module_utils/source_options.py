# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module that fetches models; their documentation is the fragment ``onprem.llm.source``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import is_safe_path, shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import as_server
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access

SOURCE_SPEC: dict[str, Any] = {
    "endpoint": {"type": "str", "default": ""},
    "token": {"type": "str", "default": "", "no_log": True},
    "ca_path": {"type": "path", "default": ""},
    "ca_content": {"type": "str", "default": ""},
    "workers": {"type": "int", "default": 0},
    "rate_limit": {"type": "str", "default": ""},
    "retries": {"type": "int", "default": 5},
    "timeout": {"type": "int", "default": 30},
}
MOST_WORKERS, MOST_RETRIES, LONGEST_TIMEOUT = 64, 100, 3600
LONGEST_TOKEN = 8192
# Less would be slower than any server is patient.
LEAST_RATE = 1024


def access_of(params: Mapping[str, Any]) -> Access:
    """Return how servers are to be reached, every option checked."""
    return Access(
        endpoint=as_server(params["endpoint"]) if params["endpoint"] else "",
        token=_token(params["token"] or ""),
        ca_file=_ca_file(params["ca_path"] or ""),
        ca_content=(params["ca_content"] or "").strip(),
        workers=_number(params, "workers", 0, MOST_WORKERS),
        rate_limit=_rate(params["rate_limit"] or ""),
        retries=_number(params, "retries", 0, MOST_RETRIES),
        timeout=float(_number(params, "timeout", 1, LONGEST_TIMEOUT)),
    )


def _number(params: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = int(params[name])
    if not least <= value <= most:
        raise ModelError(f"{name} must be a whole number from {least} to {most}, but it is {value}: correct it.")
    return value


def _rate(text: str) -> int:
    if not text:
        return 0
    try:
        rate = int(human_to_bytes(text))
    except (ValueError, OverflowError):
        rate = -1
    if rate != 0 and rate < LEAST_RATE:
        raise ModelError(
            f"rate_limit must be the bytes per second, such as 50M or 1.5G, at least {LEAST_RATE}, but it is {shown(text)}: correct it."
        )
    return rate


def _token(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text or len(text) > LONGEST_TOKEN:
        raise ModelError("token must be one word of plain signs, but it has blanks, line ends or others: copy it again.")
    return text


def _ca_file(path: str) -> str:
    if path and not is_safe_path(path):
        raise ModelError(f"ca_path must be the absolute path of a file with certificates, but it is {shown(path)}: give the full path.")
    return path
