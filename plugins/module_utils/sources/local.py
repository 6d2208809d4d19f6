# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sources that lie on the host: a GGUF file, or a folder of files."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import FileSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.folder import FolderSource
from ansible_collections.onprem.llm.plugins.module_utils.stamps import StampBook


def source_of(ref: SourceRef, stamps: StampBook) -> FileSource:
    """Return the source of one GGUF file that lies on the host."""
    return FileSource(_on_host(ref, "a GGUF file"), stamps)


def folder_of(ref: SourceRef, stamps: StampBook) -> FolderSource:
    """Return the source of a folder of files that lies on the host."""
    return FolderSource(_on_host(ref, "a folder with safetensors"), stamps)


def _on_host(ref: SourceRef, what: str) -> FileRef:
    if isinstance(ref, FileRef):
        return ref
    raise ModelError(f"The source '{ref}' is not on this host, but {what} is expected here: fetch it, and name it by 'file:' and its path.")
