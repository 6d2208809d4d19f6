# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``base_info``: see ``module_utils/base_host.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: base_info
short_description: Read what a host lacks of the base
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Tells in one go which packages are missing, and whether the group and the account of the services are as they should be.
    The role C(base) asks the package manager and changes accounts only where that is needed. Nothing is changed.
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
  packages:
    description: Names of packages. What is more than a name, such as a pattern or a version, counts as missing.
    type: list
    elements: str
    default: []
  manager:
    description: The package manager. With V(dnf), rpm is asked.
    type: str
    choices: [apt, dnf]
    required: true
  user:
    description: The account.
    type: str
    required: true
  group:
    description: Its first group.
    type: str
    required: true
  home:
    description: Its home.
    type: str
    required: true
  shell:
    description: Its shell.
    type: str
    default: /usr/sbin/nologin
"""

EXAMPLES = r"""
- name: Look at the host
  onprem.llm.base_info:
    packages: [curl, git]
    manager: apt
    user: llm
    group: llm
    home: /var/lib/llm
  register: host
"""

RETURN = r"""
missing_packages:
  description: Those of O(packages) that are not installed, or not known to be.
  returned: success
  type: list
  elements: str
group_exists:
  description: Whether the group exists.
  returned: success
  type: bool
account_matches:
  description: Whether the account exists with this group, home and shell.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.base_host import has_account, missing_packages
from ansible_collections.onprem.llm.plugins.module_utils.host_files import has_group

ARGUMENT_SPEC: dict[str, Any] = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "manager": {"type": "str", "choices": ["apt", "dnf"], "required": True},
    "user": {"type": "str", "required": True},
    "group": {"type": "str", "required": True},
    "home": {"type": "str", "required": True},
    "shell": {"type": "str", "default": "/usr/sbin/nologin"},
}


def main() -> None:
    """Look, and tell."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    module.exit_json(
        changed=False,
        missing_packages=missing_packages(given["packages"], given["manager"]),
        group_exists=has_group(given["group"]),
        account_matches=has_account(given["user"], given["group"], given["home"], given["shell"]),
    )


if __name__ == "__main__":
    main()
