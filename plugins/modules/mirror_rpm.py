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
  - onprem.llm.owner
  - onprem.llm.verify
options:
  root:
    description: The mirror's tree. The packages are placed in C(www/rpm/<name>) below it.
    type: path
    required: true
  repositories:
    description: The repositories. One that O(owner) has published before, and that is not in the list, loses the packages of that owner.
    type: list
    elements: dict
    default: []
    suboptions:
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
      - What becomes of packages that a repository of the list offers, but that none of its folders has any more. By default they stay. With
        V(true) the repository offers what the folders have and nothing else.
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
    repositories:
      - name: el9
        folders: [/media/usb/rpms]
"""

RETURN = r"""
packages:
  description: The files of the packages that are offered, each behind the name of its repository and a slash.
  returned: success
  type: list
  elements: str
bytes_copied:
  description: How many bytes of packages were copied. Zero where hard links did.
  returned: success
  type: int
  sample: 0
needs:
  description: What has to be written, and the free space for it.
  returned: in check mode
  type: list
  elements: dict
  contains:
    folder:
      description: Where it is written.
      type: str
    size:
      description: Its size in bytes.
      type: int
    content:
      description: Empty, for nothing else could need the same.
      type: str
    device:
      description: Number of the file system that holds the folder.
      type: int
    free:
      description: Free bytes there.
      type: int
actions:
  description: What was done, or would be done in check mode, in this order.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import as_owner
from ansible_collections.onprem.llm.plugins.module_utils.names import as_file_name, as_folder
from ansible_collections.onprem.llm.plugins.module_utils.package_folders import package_diff
from ansible_collections.onprem.llm.plugins.module_utils.rpm_tree import RpmPlan, plan_rpm, published_by
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import measured

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "repositories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "folders": {"type": "list", "elements": "path", "default": []},
        },
    },
    "purge": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": ""},
    "verify_days": {"type": "int"},
}


def repositories_of(wishes: list[dict[str, Any]], before: list[str]) -> dict[str, list[str]]:
    """Return the folders of each repository; none for those that were published ``before`` only."""
    found: dict[str, list[str]] = {}
    for wish in wishes:
        name = as_file_name(wish["name"], "repositories")
        if name in found:
            raise ModelError(f"repositories has '{name}' twice: put all its folders into one entry.")
        found[name] = [as_folder(folder, f"folders of '{name}'") for folder in wish["folders"]]
    return {**{name: [] for name in before if name not in found}, **found}


def plan_all(store: Store, params: dict[str, Any], owner: str) -> dict[str, RpmPlan]:
    """Decide for each repository."""
    asked = {wish["name"] for wish in params["repositories"]}
    wanted = repositories_of(params["repositories"], published_by(store, owner))
    purged = asked if params["purge"] else set()
    return {name: plan_rpm(store, name, folders, purge=name in purged, owner=owner) for name, folders in sorted(wanted.items())}


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        store = Store(host_folder(module.params["root"], "root"), verify_days=module.params["verify_days"])
        owner = as_owner(module.params["owner"])
        plans = plan_all(store, module.params, owner)
        actions = [action for plan in plans.values() for action in plan.actions]
        diff = [package_diff(plan.folder, plan.actions) for plan in plans.values()]
        needs = [need for plan in plans.values() if plan.actions for need in measured(plan.folder.needs())]
        if (actions or any(plan.learned for plan in plans.values())) and not module.check_mode:
            with store.locked():
                # What another run did while this one waited counts.
                plans = plan_all(store, module.params, owner)
                for plan in plans.values():
                    plan.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in store.damage:
        module.warn(warning)
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        packages=[f"{name}/{package}" for name, plan in plans.items() for package in sorted(plan.folder.links)],
        bytes_copied=sum(plan.folder.bytes_copied for plan in plans.values()),
        diff=diff,
        **({"needs": needs} if module.check_mode else {}),
    )


if __name__ == "__main__":
    main()
