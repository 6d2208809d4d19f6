# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``host_info``: see ``module_utils/host/survey.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what decides which models a host can serve
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Reads processor, memory, disks, GPUs and their driver, the distribution, and how the host runs (WSL, container, virtual machine, EC2).
    Changes nothing, needs no GPU and no other program.
  - What cannot be learnt is V(null), and C(reasons) says why in a sentence. A driver that is broken, or a C(nvidia-smi) that hangs or
    prints what nobody expects, is such a reason and no failure.
  - Works without C(become). Then the process behind a port of another account is not known.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  paths:
    description: Paths whose file systems are looked at. One that does not exist yet is looked at where it would be.
    type: list
    elements: path
    default: []
  ports:
    description: TCP ports for which to tell who listens.
    type: list
    elements: int
    default: []
  timeout:
    description: Seconds that a program such as C(nvidia-smi) may take.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Look at the host
  onprem.llm.host_info:
    paths: [/var/lib/llm]
    ports: [443, 8000, 11434]
  register: found

- name: Say how much memory the GPUs have
  ansible.builtin.debug:
    msg: "{{ found.host.gpus | map(attribute='memory_total') | sum }} bytes"
  when: found.host.gpus is not none
"""

RETURN = r"""
host:
  description:
    - What was learnt. Sizes are in bytes.
  returned: success
  type: dict
  contains:
    os:
      description: C(id), C(version_id) and C(name) of the distribution, C(kernel), C(architecture), C(glibc), C(wsl) (V(1) or V(2) under
        Windows), C(systemd) (whether it runs the host), C(container) and C(vm) (their kinds, as C(systemd-detect-virt) calls them).
      type: dict
    python:
      description: C(version) and C(executable) of the interpreter that this module ran in.
      type: dict
    cpu:
      description: C(model), C(cores) (physical), C(threads), C(flags) (whether it has C(avx2), C(avx512f), C(amx_tile)), C(numa_nodes).
      type: dict
    memory:
      description: C(total), C(available), C(swap_total), C(swap_free). In a container with a limit, C(total) is the limit.
      type: dict
    disks:
      description: For each of O(paths) C(path), C(exists), C(mount), C(device), C(filesystem), C(size), C(free) (for an ordinary user), and
        C(rotational).
      type: list
      elements: dict
    gpus:
      description: The GPUs, each with C(vendor) (V(nvidia), V(amd), V(intel)), C(index), C(name), C(uuid), C(pci) (its address on the bus),
        C(memory_total), C(memory_free), C(compute_capability), C(mig), C(ecc). V(null) where there is one that its driver does not tell of.
      type: list
      elements: dict
    nvidia:
      description: V(null) where the host has no GPU of NVIDIA. Otherwise C(driver), C(cuda) (the newest that the driver can do), C(module)
        (V(open) or V(proprietary)), C(nvlink) (pairs C(a), C(b) and the number of their C(links)), C(processes) (C(gpu_uuid), C(pid),
        C(name), C(memory)), C(nvswitch) (whether there is one), C(working).
      type: dict
    pci_display:
      description: Display controllers and accelerators on the bus, with or without a driver, each with C(vendor_id), C(device_id), C(class)
        and C(pci).
      type: list
      elements: dict
    nouveau:
      description: Whether the driver C(nouveau) is loaded.
      type: bool
    secure_boot:
      description: Whether the firmware lets signed kernels only start.
      type: bool
    kernel_headers:
      description: Whether a module can be built for the running kernel.
      type: bool
    listening:
      description: Who listens on O(ports), each with C(port), C(address), C(process), C(pid), C(unit) (of systemd) and C(account).
      type: list
      elements: dict
    ec2:
      description: V(null) outside EC2. Otherwise C(instance_type), C(region), C(availability_zone), C(instance_id).
      type: dict
    reasons:
      description: Why a value is V(null), by its path, such as C(gpus) or C(memory.total).
      type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host
from ansible_collections.onprem.llm.plugins.module_utils.host.survey import survey

ARGUMENT_SPEC: dict[str, Any] = {
    "paths": {"type": "list", "elements": "path", "default": []},
    "ports": {"type": "list", "elements": "int", "default": []},
    "timeout": {"type": "float", "default": 10},
}


def main() -> None:
    """Look, and tell."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    host = Host(Path("/"), module.params["timeout"])
    module.exit_json(changed=False, host=survey(host, module.params["paths"], module.params["ports"]))


if __name__ == "__main__":
    main()
