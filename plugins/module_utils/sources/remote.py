# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source over the network tells of a model, and where each of its files can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import SourceRef

if TYPE_CHECKING:
    from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client


@dataclass(frozen=True)
class Access:
    """How servers are reached. Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY``)."""

    # Base URL that takes the place of the scheme's own server: a mirror.
    endpoint: str = ""
    token: str = field(default="", repr=False)
    # PEM file with more authorities to trust.
    ca_file: str = ""
    # More of them, as text.
    ca_content: str = field(default="", repr=False)
    # Connections at most; 0: as many as pay off.
    workers: int = 0
    # Bytes per second at most, all connections together; 0: no limit.
    rate_limit: int = 0
    # Attempts after the first for each request.
    retries: int = 5
    # Seconds without a byte after which a connection counts as dead.
    timeout: float = 30.0

    def client(self) -> Client:
        """Return what asks servers. It is loaded here, for a run that asks nobody is done before."""
        from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client

        return Client(self)


@dataclass(frozen=True)
class RemoteBlob:
    """One file of a model: its name there, its size in bytes, and what it must hash to."""

    # The path in a repository of the Hub; the media type of a layer of Ollama.
    name: str
    size: int
    # One of the two is known: the sha256, or the sha1 of ``blob <size>\0<content>`` as git computes it.
    sha256: Digest | None = None
    git_sha1: str = ""


@dataclass(frozen=True)
class RemoteManifest:
    """A model at one moment: what it consists of, and what never changes its meaning."""

    ref: SourceRef
    # The commit of a repository (40 hexadecimal digits), or the sha256 of an Ollama manifest (64).
    revision: str
    blobs: tuple[RemoteBlob, ...]
    # What the server said, byte for byte: Ollama's manifest, or the tree of the Hub as JSON.
    data: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(blob.size for blob in self.blobs)


@dataclass(frozen=True)
class Origin:
    """Where a blob can be read now, by ranges. ``headers`` may hold a token, which goes to no other host."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class RemoteSource(Protocol):
    """A source over the network."""

    @property
    def ref(self) -> SourceRef:
        """Return what it is the source of."""

    @property
    def access(self) -> Access:
        """Return how its server is reached."""

    def manifest(self) -> RemoteManifest:
        """Ask what the model consists of: a few small requests, nothing is fetched or written."""

    def open(self, blob: RemoteBlob) -> Origin:
        """Return where a blob can be read; ask again where a token has expired."""
