# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an EC2 instance knows of itself, by IMDSv2. Asked only where the firmware says Amazon, so that no other host waits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host
from ansible_collections.onprem.llm.plugins.module_utils.host.system import DMI

if TYPE_CHECKING:
    from http.client import HTTPConnection

ADDRESS = ("169.254.169.254", 80)
# It answers within a millisecond where it does at all.
TIMEOUT_S = 0.3
TOKEN = "/latest/api/token"  # noqa: S105  a path, no secret
DOCUMENT = "/latest/dynamic/instance-identity/document"
KEYS = {"instance_type": "instanceType", "region": "region", "availability_zone": "availabilityZone", "instance_id": "instanceId"}


def instance(host: Host, address: tuple[str, int] = ADDRESS) -> dict[str, Any] | None:
    """Return ``instance_type``, ``region``, ``availability_zone`` and ``instance_id``; None where this is no instance."""
    if not is_amazon(host):
        return None
    try:
        return parse(_fetched(address))
    except (OSError, ValueError) as exc:
        host.unknown(
            "ec2", f"The firmware says Amazon EC2, but its metadata service could not be asked: {exc}. Allow IMDSv2 on the instance."
        )
        return None


def is_amazon(host: Host) -> bool:
    """Tell whether the firmware says that this is an instance of EC2, whose older ones run Xen."""
    vendor, asset, bios = (host.text(f"{DMI}/{name}") for name in ("sys_vendor", "board_asset_tag", "bios_version"))
    return vendor == "Amazon EC2" or asset.startswith("i-") or (vendor == "Xen" and "amazon" in bios)


def parse(text: str) -> dict[str, Any]:
    """Return what of the identity document is wanted; ValueError for anything else than such a document."""
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("instanceType"), str):
        raise ValueError("its answer is not the identity document")
    return {key: document.get(name) for key, name in KEYS.items()}


def _fetched(address: tuple[str, int]) -> str:
    # Only an instance of EC2 has to load what speaks HTTP.
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(*address, timeout=TIMEOUT_S)
    try:
        token = _answer(connection, "PUT", TOKEN, {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        return _answer(connection, "GET", DOCUMENT, {"X-aws-ec2-metadata-token": token})
    except HTTPException as exc:
        raise ValueError(f"what it answered is not HTTP ({exc or type(exc).__name__})") from exc
    finally:
        connection.close()


def _answer(connection: HTTPConnection, method: str, path: str, headers: dict[str, str]) -> str:
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read(1 << 16).decode("utf-8", "replace")
    if answer.status != 200:
        raise ValueError(f"it answered {method} {path} with status {answer.status}")
    return text
