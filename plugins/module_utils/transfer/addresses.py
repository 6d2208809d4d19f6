# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of servers and the way to them: direct, or by a proxy of the environment."""

from __future__ import annotations

import base64
import ipaddress
import re
import urllib.parse
from dataclasses import dataclass, field

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown

PORTS = {"http": 80, "https": 443}
LONGEST_URL, LONGEST_SHOWN = 16384, 100
SCHEME = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*)?", re.ASCII)
# A host and its port, as far as that tells it from a user and a password.
SERVER = re.compile(r"(?:[^:@\[\]]*|\[[0-9A-Fa-f:.]*\])(?::[0-9]*)?", re.ASCII)
# What a URL may hold as it is; anything else that a server puts into one is escaped.
URL_SIGNS = ";/?:@&=+$,#-_.!~*'()%[]"


@dataclass(frozen=True)
class Address:
    """One URL, taken apart."""

    scheme: str
    host: str
    port: int
    # Path and query, as they are sent. A query may hold a signature, so it is never shown.
    target: str = field(repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what two URLs of one server share."""
        return (self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """Return host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL for a proxy."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def plain(self) -> str:
        """Return the URL without its query: for people, and for what others may read."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"

    @property
    def has_query(self) -> bool:
        """Tell whether there is a query, which may be a signature that is a secret and does for a while only."""
        return "?" in self.target

    @property
    def is_loopback(self) -> bool:
        """Tell whether what is sent there does not leave this host."""
        name = self.host.rstrip(".")
        try:
            return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def joined(self, location: str) -> Address:
        """Return where a redirect or a link leads. Raises ``ModelError`` where that is no URL."""
        try:
            whole = urllib.parse.urljoin(self.url, urllib.parse.quote(location, safe=URL_SIGNS))
        except ValueError:
            found = shown(without_secrets(location))
            raise ModelError(f"{self} leads on to {found}, but a URL was expected: check the endpoint.") from None
        return as_address(whole)

    def __str__(self) -> str:
        """Return the URL for a person: without its query."""
        path = ascii(urllib.parse.unquote(self.target.partition("?")[0]))[1:-1]
        return f"{self.scheme}://{self.authority}{path if len(path) <= LONGEST_SHOWN else path[:LONGEST_SHOWN] + '...'}"


def as_address(url: str) -> Address:
    """Accept an absolute http or https URL without a user in it."""
    try:
        parts = urllib.parse.urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        scheme, host, port = "", "", None
    if scheme not in PORTS or not host or not _is_clean(url):
        raise ModelError(
            f"A URL must start with http:// or https:// and a host, "
            f"and have no blanks, but it is {shown(without_secrets(url))}: correct it."
        )
    if "@" in parts.netloc:
        raise ModelError(
            f"The URL {shown(without_secrets(url))} has a user or password in it, where logs would show it: leave it out, and use a token."
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(scheme, host, PORTS[scheme] if port is None else port, target)


def without_secrets(url: str) -> str:
    """Return what somebody has written as a URL without what may be secret: user, password, query and fragment."""
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, has_scheme, rest = plain.partition("://") if "://" in plain else ("", "", plain)
    scheme = scheme if SCHEME.fullmatch(scheme) else "..."
    authority, slash, path = rest.partition("/")
    if "@" in url and not _is_plain(url):
        # A password may have signs that end it elsewhere: anything before the last '@' may be part of it.
        authority, slash, path = ("...", "", "") if "@" in url[len(plain) :] else rest.rpartition("@")[2].partition("/")
    host = authority.rpartition("@")[2]
    # Where a password has signs that end it, nobody knows where it ends.
    return f"{scheme}{has_scheme}{host}{slash}{path}" if SERVER.fullmatch(host) else f"{scheme}{has_scheme}..."


def _is_plain(url: str) -> bool:
    """Tell whether it is clear where host, path and query of a URL begin and end."""
    try:
        parts = urllib.parse.urlsplit(url)
        # Asking for the port is what finds out whether it is a number.
        has_server = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_server and _is_clean(url) and not ("@" in parts.netloc and "@" in parts.path)


def _is_clean(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST_URL


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment."""

    host: str
    port: int
    # The value of Proxy-Authorization, if it wants one.
    credentials: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return it without its password."""
        return f"{self.host}:{self.port}"


def proxy_for(address: Address) -> Proxy | None:
    """Return the proxy that ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` want for an address."""
    # It brings all that HTTP needs, which a run that asks nobody does not.
    from urllib.request import getproxies_environment

    found = getproxies_environment()
    url = found.get(address.scheme) or found.get("all")
    # What does not leave this host may be a secret in clear, and a proxy's loopback is another one.
    if not url or address.is_loopback or _bypassed(address.host, found) or _in_networks(address.host, found.get("no", "")):
        return None
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    name = f"{address.scheme.upper()}_PROXY"
    try:
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if parts.scheme.lower() != "http" or not host:
        raise ModelError(
            f"{name} names a proxy of the kind {shown(parts.scheme)}, but one like http://host:port was expected: "
            f"name a proxy that speaks HTTP, or add {address.host} to NO_PROXY."
        )
    if parts.username is None:
        return Proxy(host, port)
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return Proxy(host, port, "Basic " + base64.b64encode(pair.encode()).decode("ascii"))


def _bypassed(host: str, found: dict[str, str]) -> bool:
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # it is there, but undocumented

    return bool(proxy_bypass_environment(host, found))


def _in_networks(host: str, listed: str) -> bool:
    """Tell whether ``NO_PROXY`` holds a network such as 10.0.0.0/8 with that address, which urllib does not know."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in map(_network, listed.split(",")) if network)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False) if "/" in text else None
    except ValueError:
        return None
