# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``mirror`` refuses; decided on the controller before a host is touched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.stamps import as_verify_days
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror_packages import package_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror_plan import mirror_publications
from ansible_collections.onprem.llm.plugins.plugin_utils.nginx_site import (
    PLAIN_PATH,
    address_problems,
    is_hidden,
    list_problems,
    texts_of,
    tls_problems,
)
from ansible_collections.onprem.llm.plugins.plugin_utils.proxies import proxy_problems

# Folders of the system: a tree is removed as a whole.
SYSTEM = re.compile(r"/|/(bin|boot|dev|etc|home|lib\d*|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|var/lib)")

NETWORK = re.compile(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", re.ASCII)

# What lies at the top of a tree: what nginx serves (all of it is made by the role), and what the modules keep beside it.
SERVED = frozenset({"blobs", "hf", "ollama", "www"})
KEPT = frozenset({"apt-work", "chunks", "lock", "locks", "manifests", "origins", "partial", "published", "refs", "stamps", "tmp"})
# A file system of its own has it at its top.
OF_THE_DISK = frozenset({"lost+found"})


def mirror_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return one sentence (str) for each input that cannot work.

    ``inputs`` holds the role's inputs without their prefix.
    """
    return [
        *_root_problems(inputs["root"], inputs["harden"]),
        *address_problems("mirror", inputs),
        *list_problems("mirror", inputs, ("allow", "ignore")),
        *_access_problems(inputs),
        *tls_problems("mirror", inputs),
        *package_problems(inputs),
        *_fetch_problems(inputs),
        *_verify_problems(inputs["verify_days"]),
    ]


def mirror_removal_problems(root: str, names: Collection[str]) -> list[str]:
    """Return one sentence (str) for each reason not to remove ``root`` and all in it.

    ``names`` are those of the files and folders in ``root``; none where it is empty or not there.
    """
    problems = list(_root_problems(root, harden=False))
    found = set(names) - OF_THE_DISK
    foreign = sorted(found - SERVED - KEPT)
    if foreign:
        problems.append(
            f"mirror_purge would remove {root} with all that is in it, but {', '.join(foreign[:5])} there "
            f"{'is' if len(foreign) == 1 else 'are'} not of a mirror: correct mirror_root, or move what you want to keep elsewhere first."
        )
    elif found and not found >= SERVED:
        problems.append(
            f"mirror_purge would remove {root} with all that is in it, but that is not a mirror's tree, for it has no "
            f"{' and no '.join(sorted(SERVED - found))}: correct mirror_root, or remove it by hand."
        )
    return problems


def mirror_removals(names: Collection[str]) -> list[str]:
    """Return what of ``names`` is a mirror's, that by which a tree is known last."""
    return [*sorted(KEPT & set(names)), *sorted(SERVED & set(names))]


def _root_problems(root: str, harden: bool) -> Iterator[str]:
    if not PLAIN_PATH.fullmatch(root) or str(PurePosixPath(root)) != root or ".." in PurePosixPath(root).parts:
        yield f"mirror_root must be an absolute path without spaces, quotes, '..' and a '/' at its end, but it is {root!r}: correct it."
    elif SYSTEM.fullmatch(root):
        yield f"mirror_root is {root!r}, a folder of the system, but the tree needs one of its own: add a folder, such as /srv/llm-mirror."
    elif harden and is_hidden(root):
        yield (
            f"mirror_root is {root!r}, which nginx does not see in its sandbox: choose another place, such as /srv/llm-mirror, "
            "or set mirror_harden: false."
        )


def _access_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not inputs["allow"]:
        yield "mirror_allow is empty, so nobody could read from the mirror: name networks, such as 10.0.0.0/8."
    for network in texts_of(inputs["allow"]):
        if not _is_network(network):
            yield f"mirror_allow has {network!r}, but it must be an IP address or a network such as 10.0.0.0/8: correct it."
    authority = inputs["client_ca"]
    if authority and inputs["tls_mode"] == "none":
        yield "mirror_client_ca asks for client certificates, but mirror_tls_mode is 'none': choose private_ca or given."
    if authority and not (Path(authority).is_absolute() and Path(authority).is_file()):
        yield f"mirror_client_ca must be the absolute path of a PEM file on the controller, but {authority!r} is none: correct it."


def _fetch_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    try:
        publications = mirror_publications(inputs["models"], inputs["network"], inputs["root"])
    except ModelError as exc:
        yield str(exc)
        return
    fetched = [entry["state"] == "present" for entry in publications]
    if any([*fetched, *_are_fetched(inputs["wheels"], "lock"), *_are_fetched(inputs["artefacts"], "name", not_by="src")]):
        yield from proxy_problems(inputs["proxy"], "fill a mirror where none is needed and carry its tree here")


def _are_fetched(entries: Any, by: str, not_by: str = "") -> list[bool]:
    # What is no list of dictionaries is refused elsewhere.
    found = entries if isinstance(entries, list) else []
    return [bool(entry.get(by)) and not entry.get(not_by) for entry in found if isinstance(entry, Mapping)]


def _is_network(text: str) -> bool:
    # Python takes masks and zones too, nginx does not.
    if not NETWORK.fullmatch(text):
        return False
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _verify_problems(days: int) -> Iterator[str]:
    try:
        as_verify_days(days, "mirror_verify_days")
    except ModelError as exc:
        yield str(exc)
