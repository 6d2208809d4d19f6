# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where models come from: one file per kind of source, each with ``manifest()`` and ``open(blob)``."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.names import SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import FileSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.folder import FolderSource
from ansible_collections.onprem.llm.plugins.module_utils.stamps import StampBook

SOURCES = {"file": FileSource}
FOLDERS = {"file": FolderSource}


def source_of(ref: SourceRef, stamps: StampBook) -> FileSource:
    """Return the source of one GGUF file."""
    return SOURCES[ref.scheme](ref, stamps)


def folder_of(ref: SourceRef, stamps: StampBook) -> FolderSource:
    """Return the source of a folder of files."""
    return FOLDERS[ref.scheme](ref, stamps)
