# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside becomes a safe type once; only these types are ever joined to a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NewType

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.refs import (
    DEFAULT_HOST,
    DEFAULT_NAMESPACE,
    DEFAULT_TAG,
    FileRef,
    HubRef,
    ModelName,
    OllamaRef,
    SourceRef,
)

# 64 lower-case hexadecimal digits of a sha256.
Digest = NewType("Digest", str)
# The plain name of a file in some folder.
FileName = NewType("FileName", str)
# The path of a file within a repository: relative, without tricks.
RepoPath = NewType("RepoPath", str)

DIGEST = re.compile(r"(?:sha256[:-])?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
# The parts of a name as Ollama accepts them (types/model/name.go).
NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", re.ASCII)
MODEL = TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", re.ASCII)
# A registry: its name or IPv4 address, and a port.
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?", re.ASCII)
LONGEST_HOST, LAST_PORT = 255, 65535
# The parts of a repository's name as the Hub accepts them, and of a branch or tag as git does.
REPO_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
REVISION_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII | re.IGNORECASE)
LONGEST_REVISION = 200
# The files of a model's folder, and the name of that folder as a systemd instance.
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}", re.ASCII)
INSTANCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,245}", re.ASCII)
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+-]*):(.*)", re.ASCII | re.DOTALL)
WRITE_SOURCE = (
    "write 'hf:org/name@revision', 'ollama:name:tag', or 'file:' and the absolute path of a GGUF file (for Ollama) "
    "or of a folder with safetensors (for vLLM)"
)
SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_PATH, LONGEST_REPO_PATH, LONGEST_PART = 4096, 1024, 255


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
    """Accept ``file:/path``, ``hf:org/name[@revision][#file]`` and ``ollama:[host[:port]/][namespace/]model[:tag]``."""
    found = SCHEME.fullmatch(text)
    if not found:
        hint = f"write 'file:{text}'" if text.startswith("/") and shown(text) == f"'{text}'" else WRITE_SOURCE
        raise ModelError(f"A source must start with a scheme such as 'hf:', 'ollama:' or 'file:', but it is {shown(text)}: {hint}.")
    read = SCHEMES.get(found.group(1).lower())
    if not read:
        raise ModelError(f"The scheme of the source {shown(text)} is unknown: {WRITE_SOURCE}.")
    return read(found.group(2))


def _file_ref(path: str) -> FileRef:
    if path.startswith("///"):
        path = path[2:]
    if not is_safe_path(path) or path.endswith("/"):
        raise ModelError(
            f"A source 'file:' needs the absolute path of a file or folder, without '..', control characters and a '/' at its end, "
            f"but it is {shown('file:' + path)}: give the full path."
        )
    return FileRef(path)


def _hub_ref(text: str) -> HubRef:
    name, has_file, file = text.partition("#")
    repo, has_revision, revision = name.partition("@")
    return HubRef(
        as_repo(repo),
        as_revision(revision) if has_revision else HubRef.revision,
        as_repo_path(file, "The source's part after '#'") if has_file else "",
    )


def _ollama_ref(text: str) -> OllamaRef:
    first, has_more, rest = text.partition("/")
    # A namespace has neither; of two parts, such a first one is a host, and the namespace is the usual one.
    if has_more and (rest.count("/") == 1 or "." in first or ":" in first):
        host = as_host(first)
        return OllamaRef(as_model_name(rest), "" if host == DEFAULT_HOST else host)
    return OllamaRef(as_model_name(text))


SCHEMES: dict[str, Callable[[str], SourceRef]] = {"file": _file_ref, "hf": _hub_ref, "ollama": _ollama_ref}


def as_host(text: str) -> str:
    """Accept the name or IPv4 address of a registry, with or without a port."""
    port = text.partition(":")[2] or "1"
    if not HOST.fullmatch(text) or len(text) > LONGEST_HOST or not 1 <= int(port) <= LAST_PORT:
        raise ModelError(
            f"The host of a registry must be a name or an IPv4 address, alone or with ':' and a port, but it is {shown(text)}: "
            f"write 'ollama:[host[:port]/][namespace/]model[:tag]'."
        )
    return text.lower()


def as_repo(text: str) -> str:
    """Accept ``org/name`` as the Hub does."""
    org, _slash, name = text.partition("/")
    tricks = ".." in text or "--" in text or text.lower().endswith(".git")
    if tricks or not (REPO_PART.fullmatch(org) and REPO_PART.fullmatch(name)):
        raise ModelError(
            f"A repository of the Hub must look like org/name, each of letters, digits, '_', '-' and '.', at most 96 characters, "
            f"without '--' and '..', but it is {shown(text)}: copy the name from its page."
        )
    return text


def as_revision(text: str) -> str:
    """Accept a branch, a tag or a commit (40 hexadecimal digits, which become lower case)."""
    parts = text.split("/")
    tricks = ".." in text or any(part.endswith((".", ".lock")) for part in parts)
    if tricks or len(text) > LONGEST_REVISION or not all(REVISION_PART.fullmatch(part) for part in parts):
        raise ModelError(
            f"A revision must be a branch, a tag or a commit of letters, digits, '_', '-', '.', '+' and '/', at most {LONGEST_REVISION} "
            f"characters, but it is {shown(text)}: copy it from the repository's page."
        )
    return text.lower() if COMMIT.fullmatch(text) else text


def as_repo_path(text: str, where: str) -> RepoPath:
    """Accept the path of a file within a repository: a remote listing may not choose where we write."""
    parts = text.split("/")
    fits = _utf8(text) <= LONGEST_REPO_PATH and all(0 < _utf8(part) <= LONGEST_PART for part in parts)
    if not (fits and text.isprintable()) or "\\" in text or any(part.lower() in {".", "..", ".git"} for part in parts):
        raise ModelError(
            f"{where} names the file {shown(text)}, but a relative path was expected, without '.', '..', '.git', empty or over-long parts, "
            f"backslashes and characters that cannot be seen: nothing was fetched; ask the keeper of the repository to rename it."
        )
    return RepoPath(text)


def _utf8(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


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
    return (
        printable
        and is_text(path)
        and path.startswith("/")
        and not path.startswith("//")
        and len(path) <= LONGEST_PATH
        and ".." not in path.split("/")
    )


def is_text(text: str) -> bool:
    """Tell whether UTF-8 can say it, which is so unless it has one half of a character (a surrogate) without the other."""
    return not SURROGATE.search(text)


def shown(text: str) -> str:
    """Quote foreign text for a message: escaped and short."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 120 else f"{quoted[:110]}...' ({len(text)} characters)"
