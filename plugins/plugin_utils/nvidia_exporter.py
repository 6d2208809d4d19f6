# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's exporter of metrics (DCGM): its packages, its services, and the address it may listen on."""

from __future__ import annotations

import ipaddress

# DCGM is one package for each major version of CUDA that the driver has; 580 is CUDA 13.
PACKAGES = ["datacenter-gpu-manager-4-cuda13", "datacenter-gpu-manager-exporter"]
SERVICES = ["nvidia-dcgm", "nvidia-dcgm-exporter"]


def address_problems(address: str) -> list[str]:
    """Return what is wrong with ``nvidia_dcgm_exporter_address`` (sentences): an IP address and a port, such as ``[::1]:9400``."""
    host, _colon, port = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
        well = 0 < int(port) < 65536 and host.startswith("[") == (ip.version == 6)
    except ValueError:
        well = False
    said = (
        f"nvidia_dcgm_exporter_address must be an IP address and a port, such as 127.0.0.1:9400 or [::1]:9400, but it is {address!r}: "
        "correct it; 0.0.0.0 stands for all addresses."
    )
    return [] if well else [said]
