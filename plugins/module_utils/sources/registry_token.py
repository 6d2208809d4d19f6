# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of registries: what a challenge (``WWW-Authenticate: Bearer realm=...``) asks for, fetched as anybody may, without a secret."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import as_json, unexpected
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import Address, as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import PassingError

if TYPE_CHECKING:
    from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client

CHALLENGE = re.compile(r"\s*Bearer\s+(.*)", re.IGNORECASE | re.DOTALL)
PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))', re.ASCII)
LARGEST_TOKEN = 64 << 10


class RegistryToken:
    """The token for one registry: none until it asks for one."""

    def __init__(self, server: str, access: Access) -> None:
        self._server, self._access = server, access
        self._text = ""
        self._lock = threading.Lock()

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what to send along."""
        return {"Authorization": f"Bearer {self._text}"} if self._text else {}

    def renew_for(self, client: Client, url: str) -> None:
        """Get a new token if that is what the server wants for ``url``."""
        try:
            answer = client.ask(url, {"Range": "bytes=0-0"})
        except PassingError:
            return
        status, challenge, same = answer.status, answer.headers.get("WWW-Authenticate", ""), answer.address.origin
        answer.end(client.pool)
        if status == 401 and same == as_address(self._server).origin:
            self.renew(client, challenge)

    def renew(self, client: Client, challenge: str) -> None:
        """Get the token that a challenge names."""
        realm, query = read_challenge(challenge, self._server)
        joint = "&" if "?" in realm.url else "?"
        reply = client.get(f"{realm.url}{joint}{query}" if query else realm.url, {}, LARGEST_TOKEN)
        who = f"{realm}, asked for a token,"
        if reply.status != 200:
            raise unexpected(who, f"{reply.status}")
        found = as_json(reply.body, who)
        token = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise unexpected(who, "no token")
        with self._lock:
            self._text = token


def read_challenge(challenge: str, server: str) -> tuple[Address, str]:
    """Return where to ask for a token, and the query for it."""
    found = CHALLENGE.fullmatch(challenge)
    fields = {name.lower(): quoted or plain for name, quoted, plain in PARAMETER.findall(found.group(1))} if found else {}
    if "realm" not in fields:
        raise ModelError(
            f"{server} wants to know who asks, and not by a token as anybody gets it (it says {shown(challenge)}): "
            f"name a registry that is open, or a mirror as the endpoint."
        )
    realm, home = as_address(fields["realm"]), as_address(server)
    if not is_home(realm, home):
        raise ModelError(
            f"{server} sends for a token to {realm.authority}, but its own host, or the domain above it, was expected: name a registry "
            f"that gives tokens itself, or a mirror as the endpoint."
        )
    scopes = [("scope", scope) for scope in fields.get("scope", "").split()]
    service = [("service", fields["service"])] if "service" in fields else []
    return realm, urlencode([*service, *scopes])


def is_home(realm: Address, home: Address) -> bool:
    """Tell whether a registry may send us there: to itself, or by https to a domain that its own name belongs to.

    Ollama's client wants the very same host. Companies also let ``company.example`` give the tokens for ``registry.company.example``;
    whoever owns the one owns the other. Any other host could be one that only we can reach.
    """
    if realm.origin == home.origin:
        return True
    try:
        ipaddress.ip_address(home.host)
    except ValueError:
        return realm.scheme == "https" and realm.port == 443 and "." in realm.host and home.host.endswith(f".{realm.host}")
    return False
