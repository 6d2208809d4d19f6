# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources over the network, by the scheme of a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.ollama import OllamaSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob, RemoteManifest, RemoteSource

REMOTE_SOURCES: dict[str, Callable[[Any, Access], RemoteSource]] = {"hf": HubSource, "ollama": OllamaSource}


def remote_source_of(ref: SourceRef, access: Access) -> RemoteSource:
    """Return the source of a model over the network."""
    source = REMOTE_SOURCES.get(ref.scheme)
    if source is None:
        raise ModelError(f"The source '{ref}' is not fetched over the network: name one with 'hf:' or 'ollama:'.")
    return source(ref, access)


class KnownSource:
    """A source at a state that was decided on before: it is not asked again, and its files come from that state, not from a newer one."""

    def __init__(self, source: RemoteSource, manifest: RemoteManifest) -> None:
        self.ref, self.access = manifest.ref, source.access
        self._manifest = manifest
        ref = replace(manifest.ref, revision=manifest.revision) if isinstance(manifest.ref, HubRef) else manifest.ref
        self._source = source if ref == source.ref else remote_source_of(ref, source.access)

    def manifest(self) -> RemoteManifest:
        """Return the state that was decided on."""
        return self._manifest

    def open(self, blob: RemoteBlob) -> Origin:
        """Return where a blob can be read."""
        return self._source.open(blob)
