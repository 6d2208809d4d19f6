# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``ollama_info``: see ``module_utils/ollama_host.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_info
short_description: Read what a host has of Ollama
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Reads in one task what the role P(onprem.llm.ollama#role) must know before it changes a host. Changes nothing.
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
    description: Directory of the installed versions.
    type: path
    default: /opt/ollama
  models_dir:
    description: Directory of the models.
    type: path
    default: /var/lib/llm/ollama/models
  env_file:
    description: File of the extra environment.
    type: path
    default: /etc/llm/ollama.env
  user:
    description: Account of the service.
    type: str
    default: llm
  group:
    description: Group of the service.
    type: str
    default: llm
  port:
    description: TCP port of the service.
    type: int
    default: 11434
  llama_server:
    description: Path of C(llama-server), to look for.
    type: str
    default: ""
  llama_package:
    description: Package of the distribution that has C(llama-server), to look for.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Look at the host
  onprem.llm.ollama_info:
  register: host
"""

RETURN = r"""
versions:
  description: Installed versions, each with V(archive) or the path of the C(llama-server) it is linked to.
  returned: success
  type: dict
command:
  description: Whose program C(/usr/local/bin/ollama) is, V(none), V(ours) or V(foreign).
  returned: success
  type: str
current:
  description: The version in use, or an empty string.
  returned: success
  type: str
previous:
  description: The version that a rollback would use, or an empty string.
  returned: success
  type: str
unit_owner:
  description: Whose unit C(ollama.service) is, V(none), V(ours), V(installer) or V(foreign).
  returned: success
  type: str
installer:
  description: What Ollama's own installer has left (C(bin), C(lib), C(models), C(device)), or null.
  returned: success
  type: dict
port_holder:
  description: Who listens on the port (C(name), C(pid), C(ours)), or null.
  returned: success
  type: dict
blocking_parents:
  description: Directories above O(models_dir) that O(user) may not pass through.
  returned: success
  type: list
  elements: str
free_bytes:
  description: Free bytes for V(prefix) and V(models).
  returned: success
  type: dict
prefix_device:
  description: Number of the file system that holds O(prefix).
  returned: success
  type: int
models_device:
  description: Number of the file system that holds O(models_dir).
  returned: success
  type: int
llama_server:
  description: Whether O(llama_server) is an executable file.
  returned: success
  type: bool
llama_package:
  description: Whether the distribution offers O(llama_package), or O(llama_server) is there already.
  returned: success
  type: bool
account:
  description: Whether O(user) and O(group) exist.
  returned: success
  type: bool
preload:
  description: Whether there is a unit that loads models whenever the service starts.
  returned: success
  type: bool
env_file:
  description: Whether O(env_file) exists.
  returned: success
  type: bool
models_empty:
  description: Whether O(models_dir) is empty or does not exist.
  returned: success
  type: bool
running:
  description: Whether the service runs now and is started at boot.
  returned: success
  type: bool
stale:
  description: Whether the service runs with older settings, proxy or certificate authorities than those on disk.
  returned: success
  type: bool
glibc:
  description: Version of the GNU C library.
  returned: success
  type: str
gpus:
  description: Kinds of GPU devices, of V(nvidia), V(amd) and V(wsl).
  returned: success
  type: list
  elements: str
gpu_groups:
  description: Groups on the host that own the device files of GPUs.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.ollama_host import HostError, Places, survey

ARGUMENT_SPEC: dict[str, Any] = {
    "prefix": {"type": "path", "default": "/opt/ollama"},
    "models_dir": {"type": "path", "default": "/var/lib/llm/ollama/models"},
    "env_file": {"type": "path", "default": "/etc/llm/ollama.env"},
    "user": {"type": "str", "default": "llm"},
    "group": {"type": "str", "default": "llm"},
    "port": {"type": "int", "default": 11434},
    "llama_server": {"type": "str", "default": ""},
    "llama_package": {"type": "str", "default": ""},
}


def main() -> None:
    """Look, and tell."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    places = Places(
        prefix=Path(given["prefix"]),
        models_dir=Path(given["models_dir"]),
        env_file=Path(given["env_file"]),
        user=given["user"],
        group=given["group"],
        port=given["port"],
        llama_server=given["llama_server"],
        llama_package=given["llama_package"],
    )
    try:
        found = survey(places)
    except HostError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
