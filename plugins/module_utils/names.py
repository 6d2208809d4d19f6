# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside becomes a safe type once; only these types are ever joined to a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError

# 64 lower-case hexadecimal digits of a sha256.
Digest = NewType("Digest", str)
# The plain name of a file in some folder.
FileName = NewType("FileName", str)

DIGEST = re.compile(r"(?:sha256[:-])?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
# The parts of a name as Ollama accepts them (types/model/name.go).
NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", re.ASCII)
MODEL = TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", re.ASCII)
DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG = "registry.ollama.ai", "library", "latest"
# The files of a model's folder, and the name of that folder as a systemd instance.
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}", re.ASCII)
INSTANCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,245}", re.ASCII)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):(.*)", re.ASCII | re.DOTALL)
PLANNED_SCHEMES = ("hf", "ollama")
WRITE_SOURCE = "write 'file:' and the absolute path of a GGUF file (for Ollama) or of a folder with safetensors (for vLLM)"
LONGEST_PATH = 4096


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
class SourceRef:
    """Where a model comes from: a scheme and what it means there (for ``file`` the absolute path of a file or folder)."""

    scheme: str
    path: str

    def __str__(self) -> str:
        """Return the reference as it is written."""
        return f"{self.scheme}:{self.path}"


def as_digest(text: str, where: str = "sha256") -> Digest:
    """Accept 64 hexadecimal digits, alone or after ``sha256:`` or ``sha256-``."""
    found = DIGEST.fullmatch(text)
    if not found:
        raise ModelError(f"{where} must be 64 hexadecimal digits, alone or after 'sha256:', but it is {shown(text)}: run 'sha256sum FILE'.")
    return Digest(found.group(1).lower())


def as_model_name(text: str) -> ModelName:
    """Accept ``[namespace/]model[:tag]`` and nothing that could leave its folder or mean a cloud model."""
    path, has_tag, tag = text.partition(":")
    namespace, has_namespace, model = path.rpartition("/")
    namespace = namespace if has_namespace else DEFAULT_NAMESPACE
    tag = tag if has_tag else DEFAULT_TAG
    if not (NAMESPACE.fullmatch(namespace) and MODEL.fullmatch(model) and TAG.fullmatch(tag)):
        raise ModelError(
            f"A model name must look like [namespace/]model[:tag], each of letters, digits, '_', '-' and (not in the namespace) '.', "
            f"not starting with '-' or '.', at most 80 characters, but it is {shown(text)}: choose another name."
        )
    if tag.lower() in {"cloud", "local"} or tag.lower().endswith("-cloud"):
        raise ModelError(f"The tag of the model name {shown(text)} means something else to Ollama (cloud, local): choose another tag.")
    return ModelName(namespace, model, tag)


def as_source(text: str) -> SourceRef:
    """Accept ``file:`` and an absolute path; name the schemes that are yet to come."""
    found = SCHEME.fullmatch(text)
    if not found:
        hint = f"write 'file:{text}'" if text.startswith("/") else WRITE_SOURCE
        raise ModelError(f"A source must start with a scheme such as 'file:', but it is {shown(text)}: {hint}.")
    scheme, path = found.group(1).lower(), found.group(2)
    if scheme in PLANNED_SCHEMES:
        raise ModelError(f"Sources of the scheme '{scheme}:' are not available yet, but {shown(text)} is one: fetch it and {WRITE_SOURCE}.")
    if scheme != "file":
        raise ModelError(f"The scheme of the source {shown(text)} is unknown: {WRITE_SOURCE}.")
    if path.startswith("///"):
        path = path[2:]
    if not is_safe_path(path) or path.endswith("/"):
        raise ModelError(
            f"A source 'file:' needs the absolute path of a file or folder, without '..', control characters and a '/' at its end, "
            f"but it is {shown(text)}: give the full path."
        )
    return SourceRef(scheme, path)


def as_file_name(text: str, where: str) -> FileName:
    """Accept the name of a file within a folder: no path, no hidden file, nothing odd."""
    if not FILE_NAME.fullmatch(text):
        raise ModelError(
            f"{where} names the file {shown(text)}, but a file's name must be of letters, digits, '_', '-', '+' and '.', "
            f"not start with '-' or '.', and be no path: rename it, or leave it out."
        )
    return FileName(text)


def as_instance(text: str) -> str:
    """Accept what can be a folder and stand behind the ``@`` of a systemd unit."""
    if not INSTANCE.fullmatch(text):
        raise ModelError(
            f"name must be of letters, digits, '_', '-' and '.', not start with '-' or '.', and be no path, but it is {shown(text)}: "
            f"use the instance that the filter vllm_instances returns."
        )
    return text


def as_folder(text: str, where: str) -> str:
    """Accept an absolute path other than ``/``."""
    path = text.rstrip("/")
    if not path or not is_safe_path(path):
        raise ModelError(
            f"{where} must be an absolute path without '..' and control characters, but it is {shown(text)}: give the full path."
        )
    return path


def is_safe_path(path: str) -> bool:
    """Tell whether a path is absolute, of bearable length and free of tricks."""
    printable = all(ord(c) >= 32 and ord(c) != 127 for c in path)
    return printable and path.startswith("/") and not path.startswith("//") and len(path) <= LONGEST_PATH and ".." not in path.split("/")


def shown(text: str) -> str:
    """Quote foreign text for a message: escaped and short."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 120 else f"{quoted[:110]}...' ({len(text)} characters)"
