# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What servers of models answer in JSON, and their addresses: nothing of it is believed before it was checked."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address, without_secrets

# An answer is small, or the list of a very large repository; and of so many values at most, for each takes memory.
LARGEST_ANSWER, MOST_VALUES = 32 << 20, 2_000_000
# A file's size, and the digits of a whole number, beyond which nobody is serious.
LARGEST_SIZE, MOST_DIGITS = 1 << 50, 20
SHA1 = re.compile(r"[0-9a-f]{40}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
T = TypeVar("T")


def as_server(url: str) -> str:
    """Accept the base URL of a server: http or https, without a query, and without a slash at its end."""
    target = as_address(url).target
    if "@" in url:
        # A password with a slash in it looks like a port and a path.
        raise ModelError("endpoint must be the base URL of a server, but it has an '@', as before it a password ends: leave that out.")
    if "?" in target or "#" in url:
        raise ModelError(f"endpoint must be the base URL of a server, but it has a query: {shown(without_secrets(url))} alone will do.")
    return url.rstrip("/")


def as_json(data: bytes, who: str) -> Any:
    """Return what an answer says; ``who`` is the server and what it was asked for."""
    try:
        if data.count(b",") + data.count(b"[") + data.count(b"{") > MOST_VALUES:
            raise ValueError
        return read_json(data, parse_int=_as_int)
    except ValueError:
        raise unexpected(who, "what is no JSON, or far too much of it") from None


def _as_int(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError
    return int(text)


def unexpected(who: str, found: str) -> ModelError:
    """Return the failure for an answer that makes no sense: it completes '... answered with'."""
    return ModelError(f"{who} answered with {found}: check the endpoint, or try again later.")


def member(value: Any, name: str, kind: type[T], who: str) -> T:
    """Return a member of an object that must be of that kind."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise unexpected(who, f"no '{name}' where one was expected")
    return found


def size_of(value: Any, name: str, who: str) -> int:
    """Return a number of bytes."""
    found = member(value, name, int, who)
    if not 0 <= found <= LARGEST_SIZE:
        raise unexpected(who, f"a '{name}' that no file can have")
    return found


def hex_of(value: Any, name: str, pattern: re.Pattern[str], who: str) -> str:
    """Return a digest: 40 or 64 hexadecimal digits in lower case."""
    found = member(value, name, str, who)
    if not pattern.fullmatch(found):
        raise unexpected(who, f"the '{name}' {shown(found)}, which is no digest")
    return found
