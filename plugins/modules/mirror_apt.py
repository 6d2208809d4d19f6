# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_apt``: see ``module_utils/apt_tree.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_apt
short_description: Make a signed package tree for apt out of folders of packages
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Publishes Debian packages in the tree of a mirror, so that unmodified C(apt) installs from it. The lists are made by C(apt-ftparchive)
    and signed by a key that this module makes, or is given. Clients get the key as C(llm-mirror.asc) in the tree.
  - Each package is kept once, by the sha256 of its content, in the store that the mirror's tree is. Packages come first, lists after them,
    the signed one last, and lists are offered by their hash as well, so that a client never finds half a change.
  - What is published is compared with the folders file by file, so that a second run changes and signs nothing.
requirements:
  - C(apt-ftparchive) (package C(apt-utils)), C(gpg) and C(gpg-agent) on the managed host, where something has to be published
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
    description: The mirror's tree. The packages are placed in C(www/apt) below it.
    type: path
    required: true
  folders:
    description:
      - Folders on the managed host. Taken is C(*.deb), folders in them are left alone.
      - Where a folder has a file C(SHA256SUMS), every package must be in that list, and have that digest.
    type: list
    elements: path
    default: []
  suite:
    description:
      - Name of the suite, which clients name in their sources.
      - One that O(owner) has asked for before under another name is removed, and with O(purge) all others are.
    type: str
    default: llm
  component:
    description: Name of its one component.
    type: str
    default: main
  architectures:
    description: The architectures of the clients.
    type: list
    elements: str
    default: [amd64, arm64]
  key_home:
    description: A folder of GnuPG with the one secret key that signs. It is made if it does not exist, with a key without a passphrase.
    type: path
    required: true
  key:
    description:
      - A secret key without a passphrase, as C(gpg --armor --export-secret-keys) writes it. It is taken where O(key_home) has none yet.
    type: str
  purge:
    description:
      - What becomes of packages that are offered, but that no folder of O(folders) has any more. By default they stay. With V(true) the
        tree offers what the folders have and nothing else.
    type: bool
    default: false
seealso:
  - module: onprem.llm.mirror_rpm
  - module: onprem.llm.mirror_index
"""

EXAMPLES = r"""
- name: Offer the packages of a carried-in disk
  onprem.llm.mirror_apt:
    root: /srv/llm-mirror
    folders: [/media/usb/debs]
    key_home: /etc/llm/mirror-apt
"""

RETURN = r"""
packages:
  description: The files of the packages that are offered.
  returned: success
  type: list
  elements: str
fingerprint:
  description: The fingerprint of the key that signs. Empty in check mode where there is no key yet.
  returned: success
  type: str
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

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.apt_tree import Suite, plan_apt
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import as_owner
from ansible_collections.onprem.llm.plugins.module_utils.names import as_folder, shown
from ansible_collections.onprem.llm.plugins.module_utils.package_folders import package_diff
from ansible_collections.onprem.llm.plugins.module_utils.signing_key import SigningKey
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import measured

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "folders": {"type": "list", "elements": "path", "default": []},
    "suite": {"type": "str", "default": "llm"},
    "component": {"type": "str", "default": "main"},
    "architectures": {"type": "list", "elements": "str", "default": ["amd64", "arm64"]},
    "key_home": {"type": "path", "required": True, "no_log": False},
    "key": {"type": "str", "no_log": True},
    "purge": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": ""},
    "verify_days": {"type": "int"},
}
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def suite_of(params: dict[str, Any]) -> Suite:
    """Return how the tree presents itself, every part checked."""
    named = [("suite", params["suite"]), ("component", params["component"]), *(("architectures", arch) for arch in params["architectures"])]
    for option, word in named:
        if not WORD.fullmatch(word):
            raise ModelError(f"{option} must be of letters, digits, '_', '-' and '.', but it is {shown(word)}: choose another name.")
    if not params["architectures"]:
        raise ModelError("architectures must name those of the clients, but it is empty: name amd64, for example.")
    return Suite(params["suite"], params["component"], tuple(params["architectures"]))


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        suite, store = suite_of(params), Store(host_folder(params["root"], "root"), verify_days=params["verify_days"])
        folders = [as_folder(folder, "folders") for folder in params["folders"]]
        key, given = SigningKey(as_folder(params["key_home"], "key_home")), params["key"] or ""
        owner = as_owner(params["owner"])
        plan = plan_apt(store, folders, suite, key, given_key=given, purge=params["purge"], owner=owner)
        actions, diff = plan.actions, package_diff(plan.folder, plan.actions)
        needs = {"needs": measured(plan.folder.needs()) if actions else []} if module.check_mode else {}
        if (actions or plan.learned) and not module.check_mode:
            with store.locked():
                # What another run did while this one waited counts.
                plan = plan_apt(store, folders, suite, key, given_key=given, purge=params["purge"], owner=owner)
                actions = plan.actions
                plan.apply()
        fingerprint = key.fingerprint
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in store.damage:
        module.warn(warning)
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        packages=plan.packages,
        fingerprint=fingerprint,
        bytes_copied=plan.folder.bytes_copied,
        diff=diff,
        **needs,
    )


if __name__ == "__main__":
    main()
