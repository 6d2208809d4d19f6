# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``vllm_info``: see ``module_utils/vllm_host.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_info
short_description: Read what a host has of vLLM, and what it could run
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Reads in one task what the role P(onprem.llm.vllm#role) must know before it changes a host. Changes nothing.
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
  prefix:
    description: Directory of the installed builds.
    type: path
    default: /opt/vllm
  config_dir:
    description: Directory of the settings of the instances.
    type: path
    default: /etc/vllm
  models_dir:
    description: Directory of the models.
    type: path
    default: /var/lib/llm/vllm/models
  user:
    description: Account of the service.
    type: str
    default: llm
  python:
    description: An interpreter to look at. Empty means those of the distribution.
    type: str
    default: ""
  ports:
    description: The TCP port of each instance, by its name.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Look at the host
  onprem.llm.vllm_info:
    ports: {smollm2-135m-vllm: 8000}
  register: host
"""

RETURN = r"""
pythons:
  description: Interpreters, each with C(path), C(version), and C(venv), whether it can make a virtual environment.
  returned: success
  type: list
  elements: dict
nvidia:
  description: Whether there is a GPU (C(present)), the version of its C(driver), the C(gpus), and the C(problem) if they are not known.
  returned: success
  type: dict
wsl:
  description: Whether the GPU is that of WSL2.
  returned: success
  type: bool
cpu_flags:
  description: Instruction sets of the processor that matter.
  returned: success
  type: list
  elements: str
memory_bytes:
  description: Memory of the host.
  returned: success
  type: int
glibc:
  description: Version of the GNU C library.
  returned: success
  type: str
libnuma:
  description: Whether the library C(libnuma) is there.
  returned: success
  type: bool
free_bytes:
  description: Free bytes for V(prefix) and V(models).
  returned: success
  type: dict
uv:
  description: Version of the C(uv) below O(prefix), or an empty string.
  returned: success
  type: str
builds:
  description: Builds that are whole.
  returned: success
  type: list
  elements: str
current:
  description: The build in use, or an empty string.
  returned: success
  type: str
previous:
  description: The build that a rollback would use, or an empty string.
  returned: success
  type: str
unit_owner:
  description: Whose unit C(vllm@.service) is, V(none), V(ours) or V(foreign).
  returned: success
  type: str
instances:
  description: Instances of the host by name, each with C(configured), C(extra) (environment), C(enabled), C(active) and C(stale).
  returned: success
  type: dict
port_holders:
  description: Who listens on the ports that are taken, by instance, each with C(name), C(pid) and C(instance).
  returned: success
  type: dict
blocking_parents:
  description: Directories above O(models_dir) that O(user) may not pass through.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.vllm_host import Places, survey

ARGUMENT_SPEC: dict[str, Any] = {
    "prefix": {"type": "path", "default": "/opt/vllm"},
    "config_dir": {"type": "path", "default": "/etc/vllm"},
    "models_dir": {"type": "path", "default": "/var/lib/llm/vllm/models"},
    "user": {"type": "str", "default": "llm"},
    "python": {"type": "str", "default": ""},
    "ports": {"type": "dict", "default": {}},
}


def main() -> None:
    """Look, and tell."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    places = Places(
        prefix=Path(given["prefix"]),
        config_dir=Path(given["config_dir"]),
        models_dir=Path(given["models_dir"]),
        user=given["user"],
        python=given["python"],
        ports={name: int(port) for name, port in given["ports"].items()},
    )
    module.exit_json(changed=False, **survey(places))


if __name__ == "__main__":
    main()
