# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to ask, and why no right answer came: one sentence and one word for each cause."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# Causes that time can heal: the service starts, restarts or is busy. Everything else is told at once.
HEALING = frozenset({"refused", "unreachable", "timeout", "connection_lost", "rate_limited", "unavailable"})

KEY = re.compile(r"[!#-\[\]-~]+", re.ASCII)
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?", re.ASCII)
PREFIX = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*", re.ASCII)
HIDDEN = "********"
LONGEST_SHOWN = 300


class EndpointError(Exception):
    """No right answer: ``cause`` for machines, the text for people."""

    def __init__(
        self, cause: str, where: str, expected: str, found: str, advice: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        """Keep the parts of the sentence; ``retry_after`` is what the server asked for, in seconds."""
        super().__init__(f"{where}: expected {expected}, but {found}; {advice}.")
        self.cause = cause
        self.status = status
        self.retry_after = retry_after
        self.attempts = 0

    def add(self, remark: str) -> None:
        """Put a remark in brackets before the end of the sentence."""
        self.args = (f"{str(self).rstrip('.')} ({remark}).",)

    @property
    def heals(self) -> bool:
        """Tell whether it is worth asking again."""
        return self.cause in HEALING


def invalid(what: str, expected: str, found: str, advice: str) -> EndpointError:
    """Return the error for an input that cannot work; nothing was asked."""
    return EndpointError("invalid_input", what, expected, found, advice)


def shown(text: str) -> str:
    """Return ``text`` as a sentence can quote it: on one line, printable, not too long."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(clean if len(clean) <= LONGEST_SHOWN else clean[:LONGEST_SHOWN] + "...")


@dataclass(frozen=True)
class Target:
    """An endpoint and how to be let in."""

    secure: bool
    host: str
    port: int
    prefix: str = ""
    key: str = field(default="", repr=False)
    ca_path: str = ""
    ca_content: str = ""
    validate_certs: bool = True

    @property
    def authority(self) -> str:
        """Return host and port as a URL and the Host header write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def url(self, path: str = "") -> str:
        """Return the address of ``path``, which never holds a secret."""
        return self.hide(f"http{'s' if self.secure else ''}://{self.authority}{self.prefix}{path}")

    def hide(self, text: str) -> str:
        """Return ``text`` without the key, should a server have repeated it."""
        for spelling in (self.key, self.key.replace("/", "\\/")):
            text = text.replace(spelling, HIDDEN) if spelling else text
        return text

    def shown(self, text: str | bytes) -> str:
        """Return what a server sent as a sentence can quote it, without the key."""
        return shown(self.hide(text.decode("utf-8", "replace") if isinstance(text, bytes) else text))


def as_target(url: str, *, key: str = "", ca_path: str = "", ca_content: str = "", validate_certs: bool = True) -> Target:
    """Return a checked endpoint. A URL or key that is refused is not repeated where it could hold a secret."""
    expected = "a base address such as https://llm.example:443"
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        raise invalid("url", expected, "it cannot be read", "correct it") from None
    if parts.username is not None or parts.password is not None:
        raise invalid("url", "no user name and password in it", "it has one", "give the key as api_key")
    if parts.scheme not in {"http", "https"} or not HOST.fullmatch(host) or port == 0:
        raise invalid("url", expected, "scheme, host or port is missing or unusable", "correct it")
    prefix = parts.path.rstrip("/")
    if parts.query or parts.fragment or not PREFIX.fullmatch(prefix):
        raise invalid("url", expected, "it has a query, a fragment or odd characters", "leave them out")
    if re.search(r"/(v1|api)(/|\Z)", prefix):
        raise invalid("url", expected, f"it has the path {prefix!r}", "leave it out, the module adds the path of the API")
    if key and not KEY.fullmatch(key):
        raise invalid("api_key", "printable ASCII without spaces, quotes and backslashes", "it has other characters", "correct it")
    secure = parts.scheme == "https"
    return Target(secure, host, port or (443 if secure else 80), prefix, key, ca_path, ca_content, validate_certs)
