# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_rpm``: see ``module_utils/rpm_tree.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_rpm
short_description: Make a package tree for dnf out of folders of packages
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Publishes RPM packages in the tree of a mirror, so that unmodified C(dnf) installs from it. The description is made by C(createrepo_c).
  - Each package is kept once, by the sha256 of its content, in the store that the mirror's tree is. Packages come first, their description
    after them, and packages that are taken out go last.
  - The packages keep the signatures of those who made them, and clients should check these (C(gpgcheck=1)). The description itself is not
    signed.
requirements:
  - C(createrepo_c) on the managed host (package C(createrepo-c) in Debian and Ubuntu), where something has to be published
attributes:
  check_mode:
    support: full
    details:
      - A package that was never hashed before is read as a whole in check mode, and read again in the run that follows.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  root:
    description: The mirror's tree. The packages are placed in C(www/rpm/<name>) below it.
    type: path
    required: true
  name:
    description: Name of the repository, such as V(el9).
    type: str
    required: true
  folders:
    description:
      - Folders on the managed host. Taken is C(*.rpm), folders in them are left alone.
      - Where a folder has a file C(SHA256SUMS), every package must be in that list, and have that digest.
    type: list
    elements: path
    default: []
  purge:
    description:
      - What becomes of packages that are offered, but that no folder of O(folders) has any more. By default they stay. With V(true) the
        repository offers what the folders have and nothing else.
    type: bool
    default: false
seealso:
  - module: onprem.llm.mirror_apt
  - module: onprem.llm.mirror_index
"""

EXAMPLES = r"""
- name: Offer the packages of a carried-in disk
  onprem.llm.mirror_rpm:
    root: /srv/llm-mirror
    name: el9
    folders: [/media/usb/rpms]
"""

RETURN = r"""
packages:
  description: The files of the packages that are offered.
  returned: success
  type: list
  elements: str
bytes_copied:
  description: How many bytes of packages were copied. Zero where hard links did.
  returned: success
  type: int
  sample: 0
actions:
  description: What was done, or would be done in check mode, in this order.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_file_name, as_folder
from ansible_collections.onprem.llm.plugins.module_utils.package_folders import package_diff
from ansible_collections.onprem.llm.plugins.module_utils.rpm_tree import plan_rpm
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "folders": {"type": "list", "elements": "path", "default": []},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        name, store = as_file_name(params["name"], "name"), Store(as_folder(params["root"], "root"))
        folders = [as_folder(folder, "folders") for folder in params["folders"]]
        plan = plan_rpm(store, name, folders, purge=params["purge"])
        actions, diff = plan.actions, package_diff(plan.folder, plan.actions)
        if (actions or plan.learned) and not module.check_mode:
            with store.locked():
                # What another run did while this one waited counts.
                plan = plan_rpm(store, name, folders, purge=params["purge"])
                actions = plan.actions
                plan.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        packages=sorted(plan.folder.links),
        bytes_copied=plan.folder.bytes_copied,
        diff=diff,
    )


if __name__ == "__main__":
    main()
