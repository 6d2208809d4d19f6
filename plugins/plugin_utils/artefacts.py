# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where bytes come from: one table of artefacts, and the network that ``llm_source`` names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("artefacts.yml")
VERSION = re.compile(r"\d+\.\d+\.\d+(?:-rc\d+)?")
ADDRESS = re.compile(r"https?://[^\s/]+")
SHA256 = re.compile(r"[0-9a-f]{64}")
# How each network gets an engine, unless the role's own input says otherwise.
WAY_OF = {"open": "release", "registries": "go", "mirror": "mirror", "closed": "mirror"}


class ArtefactError(ValueError):
    """An artefact that cannot be had as asked; the text says what to do."""


@cache
def table() -> Mapping[str, Any]:
    """Return the artefact table (dict by artefact name)."""
    content: Mapping[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


def way(llm_source: str, wish: str = "auto") -> str:
    """Return how an engine is fetched (``release``, ``mirror``, ``file`` or ``go``); ``auto`` follows ``llm_source``."""
    if wish != "auto":
        return wish
    if llm_source not in WAY_OF:
        raise ArtefactError(f"llm_source must be one of {', '.join(WAY_OF)}, but it is {llm_source!r}: correct it.")
    return WAY_OF[llm_source]


def artefact(name: str, version: str, arch: str, way_: str, mirror_url: str = "", sha256: str = "") -> dict[str, str]:
    """Return where an archive comes from and what it must be.

    The result (dict of str) has ``file``, ``url`` (empty for ``file``, which is carried in), ``sha256`` (empty where the
    table knows none), ``sums_url`` (set only where ``sha256`` is empty) and ``trust``, a sentence on what trust rests.
    Raises ArtefactError for an unknown name, a malformed version or digest, and a mirror without an address.
    """
    entry = _entry(name)
    if not VERSION.fullmatch(version):
        raise ArtefactError(f"The version of {name} must look like 0.34.4, but it is {version!r}: give an exact version, never 'latest'.")
    digest = sha256.lower().removeprefix("sha256:") or entry["sha256"].get(version, {}).get(arch, "")
    if digest and not SHA256.fullmatch(digest):
        raise ArtefactError(f"The sha256 of {name} {version} must be 64 hexadecimal digits, but it is {digest!r}: copy it again.")
    words = {"version": version, "arch": arch, "mirror": mirror_url.rstrip("/"), "file": entry["file"].format(arch=arch, version=version)}
    if way_ == "mirror":
        _check_mirror(name, mirror_url)
    if not digest and way_ != "release":
        raise ArtefactError(
            f"No sha256 is known for {name} {version} on {arch}, and only a release brings a list of its own: "
            f"set {name}_sha256 to the digest that the release's sha256sum.txt gives."
        )
    return {
        "file": words["file"],
        "url": "" if way_ == "file" else entry[way_].format(**words),
        "sha256": digest,
        "sums_url": "" if digest else entry["sums"].format(**words),
        "trust": (
            "The digest is pinned."
            if digest
            else f"No digest of {name} {version} is pinned: it is taken from the release's sha256sum.txt, so trust rests on TLS alone."
        ),
    }


def endpoint(name: str, llm_source: str, mirror_url: str = "", named: str = "") -> str:
    """Return the address of a server (``hub``, ``ollama-registry``) in that network; ``named`` takes its place. Empty if there is none."""
    if named:
        if not ADDRESS.match(named):
            # It may hold a password, so it is not shown.
            raise ArtefactError(
                f"The address that takes the place of the table's for {name} must look like https://host.example: correct it."
            )
        return named.rstrip("/")
    if llm_source not in WAY_OF:
        raise ArtefactError(f"llm_source must be one of {', '.join(WAY_OF)}, but it is {llm_source!r}: correct it.")
    network = "mirror" if llm_source == "closed" else llm_source
    if network == "mirror":
        _check_mirror(name, mirror_url)
    return str(_entry(name).get(network, "")).format(mirror=mirror_url.rstrip("/"))


def _check_mirror(name: str, mirror_url: str) -> None:
    if not ADDRESS.match(mirror_url):
        raise ArtefactError(
            f"{name} should come from a mirror, but llm_mirror_url is {mirror_url!r}: set it to the mirror's address, such as https://mirror.example."
        )


def go_module(name: str, version: str) -> dict[str, str]:
    """Return ``package``, ``version`` and ``sum`` (``h1:`` hash, or empty where Go's checksum database is the only judge)."""
    entry = _entry(name)
    if not VERSION.fullmatch(version):
        raise ArtefactError(f"The version of {name} must look like 0.34.4, but it is {version!r}: give an exact version, never 'latest'.")
    return {"package": entry["package"], "version": f"v{version}", "sum": entry["sum"].get(version, "")}


def digest_in_sums(text: str, file: str) -> str:
    """Return the sha256 of ``file`` in the text of a ``sha256sum.txt`` (lines ``<sha256>  ./<file>``)."""
    for line in text.splitlines():
        digest, _space, name = line.strip().partition(" ")
        if name.strip().lstrip("*").removeprefix("./") == file and SHA256.fullmatch(digest.lower()):
            return digest.lower()
    raise ArtefactError(f"The release's sha256sum.txt has no line for {file}: check that this version exists for this architecture.")


def _entry(name: str) -> Mapping[str, Any]:
    try:
        entry: Mapping[str, Any] = table()[name]
    except KeyError:
        raise ArtefactError(f"The artefact table has no {name!r}; it has {', '.join(sorted(table()))}.") from None
    return entry
