# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``mirror`` refuses; decided on the controller before a host is touched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.stamps import as_verify_days
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror_packages import package_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.nginx_site import HOST_NAME, PLAIN_PATH, address_problems, is_ip, tls_problems

# Whose content nginx does not see in its sandbox.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  compared, not used
# Folders of the system: a tree is removed as a whole.
SYSTEM = re.compile(r"/|/(bin|boot|dev|etc|home|lib\d*|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|var/lib)")


def mirror_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return one sentence (str) for each input that cannot work.

    ``inputs`` holds the role's inputs without their prefix.
    """
    return [
        *_root_problems(inputs["root"], inputs["harden"]),
        *address_problems("mirror", inputs),
        *_blob_name_problems(inputs["blob_name"]),
        *_access_problems(inputs),
        *tls_problems("mirror", inputs),
        *package_problems(inputs),
        *_verify_problems(inputs["verify_days"]),
    ]


def _root_problems(root: str, harden: bool) -> Iterator[str]:
    if not PLAIN_PATH.fullmatch(root) or str(PurePosixPath(root)) != root or ".." in PurePosixPath(root).parts:
        yield f"mirror_root must be an absolute path without spaces, quotes, '..' and a '/' at its end, but it is {root!r}: correct it."
    elif SYSTEM.fullmatch(root):
        yield f"mirror_root is {root!r}, a folder of the system, but the tree needs one of its own: add a folder, such as /srv/llm-mirror."
    elif harden and any(root == hidden or root.startswith(f"{hidden}/") for hidden in HIDDEN):
        yield (
            f"mirror_root is {root!r}, which nginx does not see in its sandbox: choose another place, such as /srv/llm-mirror, "
            "or set mirror_harden: false."
        )


def _blob_name_problems(name: str) -> Iterator[str]:
    if name and (is_ip(name) or not HOST_NAME.fullmatch(name) or name.startswith("*")):
        yield f"mirror_blob_name must be a host name (in punycode), but it is {name!r}: correct it, or leave it empty."


def _access_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not inputs["allow"]:
        yield "mirror_allow is empty, so nobody could read from the mirror: name networks, such as 10.0.0.0/8."
    for network in inputs["allow"]:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield f"mirror_allow has {network!r}, but it must be an IP address or a network such as 10.0.0.0/8: correct it."
    authority = inputs["client_ca"]
    if authority and inputs["tls_mode"] == "none":
        yield "mirror_client_ca asks for client certificates, but mirror_tls_mode is 'none': choose private_ca or given."
    if authority and not (Path(authority).is_absolute() and Path(authority).is_file()):
        yield f"mirror_client_ca must be the absolute path of a PEM file on the controller, but {authority!r} is none: correct it."


def _verify_problems(days: int) -> Iterator[str]:
    try:
        as_verify_days(days, "mirror_verify_days")
    except ModelError as exc:
        yield str(exc)
