# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where NVIDIA's packages come from, and which key signs them; addresses, digests and fingerprints stand in the table of artefacts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import SHA256, ArtefactError, endpoint, table
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_packages import MACHINES, REPOSITORIES, family

FINGERPRINT = re.compile(r"[0-9A-F]{40}")
# The keyring of NVIDIA's own package lies there, so that apt is told of one key only, whoever added the repository first.
KEYRINGS = {"driver": "/usr/share/keyrings/cuda-archive-keyring.gpg", "containers": "/usr/share/keyrings/nvidia-container-toolkit.asc"}
ENTRIES = {"driver": "nvidia-cuda", "containers": "nvidia-containers"}
APT = ("debian", "ubuntu")
DEB_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
URL_INPUTS = {"driver": "repository_url", "containers": "container_repository_url"}

Inputs = Mapping[str, Any]


def repository_problems(os: Mapping[str, Any], inputs: Inputs, wanted: Mapping[str, bool]) -> list[str]:
    """Return why a repository that is wanted cannot be used (sentences)."""
    problems = []
    for kind in (kind for kind, is_wanted in wanted.items() if is_wanted):
        try:
            _repository(os, inputs, kind)
        except ArtefactError as error:
            problems.append(str(error))
    return problems


def repositories(os: Mapping[str, Any], inputs: Inputs, wanted: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return the repositories that are wanted: ``name``, ``kind``, ``url`` and ``key_url``.

    Of kind ``apt`` also ``keyring`` (where the key lies), ``sha256`` of what ``key_url`` gives and ``packed`` (it is a package with the key
    in it); of kind ``dnf`` the key's ``fingerprint`` and what is ``signed`` (``packages`` or ``index``).
    """
    return [_repository(os, inputs, kind) for kind, is_wanted in wanted.items() if is_wanted]


def _repository(os: Mapping[str, Any], inputs: Inputs, kind: str) -> dict[str, Any]:
    is_apt = family(os)[0] in APT
    entry = table()[ENTRIES[kind]]
    place = _place(os) if kind == "driver" else ("deb" if is_apt else "rpm")
    base = endpoint(ENTRIES[kind], inputs["llm_source"], inputs["mirror_url"], inputs[URL_INPUTS[kind]])
    if not base:
        raise ArtefactError(
            f"NVIDIA's packages come from a repository that llm_source {inputs['llm_source']!r} does not reach: set "
            f"nvidia_{URL_INPUTS[kind]} to a copy of it, or for the driver on Ubuntu nvidia_source to distribution."
        )
    if kind == "driver":
        home = url = f"{base}/{place}"
        name = f"cuda-{place.replace('/', '-')}"
    else:
        machine = os["architecture"]
        home, name = base, "nvidia-containers"
        url = f"{base}/{entry['path'][place].format(arch=DEB_MACHINES.get(machine, machine) if is_apt else machine)}"
    if is_apt:
        return {
            "name": name,
            "kind": "apt",
            "url": f"{url}/",
            "key_url": f"{home}/{entry['keyring']}",
            "keyring": KEYRINGS[kind],
            "packed": kind == "driver",
            "sha256": _digest(entry, place, kind, inputs),
        }
    key, fingerprint = _rpm_key(entry, place, kind, inputs)
    # The packages of the container toolkit are not signed; the index of its repository is.
    signed = "index" if kind == "containers" else "packages"
    return {"name": name, "kind": "dnf", "url": url, "key_url": f"{home}/{key}", "fingerprint": fingerprint, "signed": signed}


def _place(os: Mapping[str, Any]) -> str:
    known = REPOSITORIES.get(family(os))
    if known is None or os["architecture"] not in MACHINES:
        raise ArtefactError(
            f"NVIDIA has no repository for {os.get('name') or os['id']} {os.get('version_id') or ''} on {os['architecture']}: use Debian "
            "12 or 13, Ubuntu 22.04, 24.04 or 26.04, EL 9 or 10, or Amazon Linux 2023, on x86_64 or aarch64."
        )
    return f"{known}/{MACHINES[os['architecture']]}"


def _digest(entry: Mapping[str, Any], place: str, kind: str, inputs: Inputs) -> str:
    name = "keyring_sha256" if kind == "driver" else "container_key_sha256"
    digest = str(inputs[name]).lower().removeprefix("sha256:") or str(entry["sha256"].get(place, ""))
    if not digest:
        raise ArtefactError(
            f"No sha256 of {entry['keyring']} for {place} is known to this collection, and nothing is trusted without one: set "
            f"nvidia_{name} to the digest of the file that you have checked."
        )
    if not SHA256.fullmatch(digest):
        raise ArtefactError(f"nvidia_{name} must be 64 hexadecimal digits, but it is {digest!r}: copy it again.")
    return digest


def _rpm_key(entry: Mapping[str, Any], place: str, kind: str, inputs: Inputs) -> tuple[str, str]:
    distribution = place.split("/", maxsplit=1)[0]
    known = entry["rpm_keys"].get(distribution, {})
    fingerprint = str(inputs["key_fingerprint"] if kind == "driver" else "").replace(" ", "").upper() or known.get("fingerprint", "")
    if not fingerprint:
        raise ArtefactError(
            f"The fingerprint of the key of NVIDIA's repository for {distribution} is not known to this collection, and nothing is trusted "
            "without one: set nvidia_key_fingerprint to the 40 digits that you have checked."
        )
    if not FINGERPRINT.fullmatch(fingerprint):
        raise ArtefactError(f"nvidia_key_fingerprint must be 40 hexadecimal digits, but it is {fingerprint!r}: copy it again.")
    return known["file"], fingerprint
