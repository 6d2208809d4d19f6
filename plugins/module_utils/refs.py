# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a model is called, and where it comes from, as a person writes it; ``names`` reads such text.

``file:/path``, ``hf:org/name@revision#file``, ``ollama:[host[:port]/][namespace/]model:tag``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG = "registry.ollama.ai", "library", "latest"


@dataclass(frozen=True)
class ModelName:
    """A model as Ollama names it on disk."""

    namespace: str
    model: str
    tag: str

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Return the folders and the file of its manifest."""
        return (DEFAULT_HOST, self.namespace, self.model, self.tag)

    @property
    def key(self) -> str:
        """Return what two spellings of one model share: Ollama looks names up without regard to case."""
        return "/".join(self.parts).lower()

    def __str__(self) -> str:
        """Return the name as Ollama lists it."""
        prefix = "" if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/"
        return f"{prefix}{self.model}:{self.tag}"


@dataclass(frozen=True)
class FileRef:
    """A file or folder that already lies on the host, by its absolute path."""

    path: str
    scheme: str = "file"

    def __str__(self) -> str:
        """Return the reference as it is written."""
        return f"file:{self.path}"


@dataclass(frozen=True)
class HubRef:
    """A repository of Hugging Face's Hub at a revision (a branch, a tag or 40 hexadecimal digits), or one file of it."""

    repo: str
    revision: str = "main"
    file: str = ""
    scheme: str = "hf"

    @property
    def is_pinned(self) -> bool:
        """Tell whether the revision is a commit, which never changes."""
        return len(self.revision) == 40 and set(self.revision) <= set("0123456789abcdef")

    def __str__(self) -> str:
        """Return the reference as it is written."""
        return f"hf:{self.repo}@{self.revision}" + (f"#{self.file}" if self.file else "")


@dataclass(frozen=True)
class OllamaRef:
    """A model of a registry that speaks Ollama's protocol; ``host`` is empty for Ollama's own."""

    name: ModelName
    host: str = ""
    scheme: str = "ollama"

    def __str__(self) -> str:
        """Return the reference as it is written."""
        return f"ollama:{self.host}/{self.name.namespace}/{self.name.model}:{self.name.tag}" if self.host else f"ollama:{self.name}"


SourceRef = Union[FileRef, HubRef, OllamaRef]
