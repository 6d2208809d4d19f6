# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_wheels``: see ``module_utils/python_index_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_wheels
short_description: Make a package index for pip and uv out of folders of wheels
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Publishes wheels and source archives in the tree of a mirror, so that unmodified C(pip) and C(uv) install from it. The index is made of
    plain files for any web server. It has pages as HTML (PEP 503) and as JSON (PEP 691) with the sha256 of each file, the Python that it
    requires, and the metadata of each wheel beside it (PEP 658), by which an installer resolves without fetching the wheel.
  - Before anything is written, every file is judged. Its name must be that of a wheel (C(name-version[-build]-python-abi-platform.whl)) or
    of a source archive (C(name-version.tar.gz)), and its metadata must say the same. Where a lock is given, its digest must be one that the
    lock allows. One file that is refused stops the run, and the index stays as it was.
  - Each file is kept once, by the sha256 of its content, in the store that the mirror's tree is. It is offered under an address with that
    digest in it, which never means another content. Files come first, pages after them, and what no page names any more goes last, so that
    a client never finds half an index.
attributes:
  check_mode:
    support: full
    details:
      - A file that was never hashed before is read as a whole in check mode, and read again in the run that follows.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  root:
    description: The mirror's tree. The index is made in C(www/pypi) below it.
    type: path
    required: true
  sources:
    description:
      - Folders on the managed host, and what their files must be. Taken are C(*.whl) and C(*.tar.gz), folders in them are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      folder:
        description:
          - The folder. Where it has a file C(SHA256SUMS), every wheel and source archive must be in that list, and have that digest.
          - Where a file may not change behind the store's back (owned by the user that runs the module, writable to nobody else, readable
            to all) and lies on the tree's file system, it is taken by a hard link, else by a copy. Editing such a file in place changes
            what is offered too, so replace files by renaming new ones over them.
        type: path
        required: true
      locks:
        description:
          - Files on the managed host that say which digests are right, either requirements with C(--hash=sha256:), as C(uv pip compile
            --generate-hashes) makes them, or a list as C(sha256sum) prints it.
          - Every file of the folder must be named in one of them, with its digest. A lock may name more than the folder has.
        type: list
        elements: path
        default: []
  purge:
    description:
      - What becomes of files that are offered, but that no folder of O(sources) has any more. By default they stay, so that a folder may be
        on a disk that is carried away. With V(true) the index offers what the folders have and nothing else.
      - A file of the same name with another content always takes the place of the one before.
    type: bool
    default: false
seealso:
  - module: onprem.llm.mirror_files
  - module: onprem.llm.mirror_index
"""

EXAMPLES = r"""
- name: Offer the wheels of a carried-in disk
  onprem.llm.mirror_wheels:
    root: /srv/llm-mirror
    sources:
      - folder: /media/usb/wheels
        locks: [/media/usb/vllm-0.32.0-cuda.txt]

- name: Offer just what is in a folder
  onprem.llm.mirror_wheels:
    root: /srv/llm-mirror
    sources:
      - folder: /srv/in/wheels
    purge: true
"""

RETURN = r"""
files:
  description: The files that the index offers, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the file.
      type: str
    project:
      description: The project, as an index spells it.
      type: str
    version:
      description: Its version in normal spelling.
      type: str
    digest:
      description: The digest of the file.
      type: str
    size:
      description: Its size in bytes.
      type: int
bytes_copied:
  description: How many bytes were written. Zero where hard links did.
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
from ansible_collections.onprem.llm.plugins.module_utils.names import as_folder
from ansible_collections.onprem.llm.plugins.module_utils.python_folder import WheelFolder
from ansible_collections.onprem.llm.plugins.module_utils.python_index_plan import IndexPlan, plan_index
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "sources": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "folder": {"type": "path", "required": True},
            "locks": {"type": "list", "elements": "path", "default": []},
        },
    },
    "purge": {"type": "bool", "default": False},
}


def result_of(plan: IndexPlan, actions: list[str]) -> dict[str, Any]:
    """Return what the module reports."""
    files = [
        {
            "name": name,
            "project": file.name.project,
            "version": str(file.name.version),
            "digest": f"sha256:{file.digest}",
            "size": file.size,
        }
        for name, file in sorted(plan.files.items())
    ]
    return {"changed": bool(actions), "actions": actions, "bytes_copied": plan.folder.bytes_copied, "files": files, "diff": plan.diff()}


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    purge = module.params["purge"]
    try:
        store = Store(as_folder(module.params["root"], "root"))
        folders = [
            WheelFolder(as_folder(source["folder"], "folder"), tuple(as_folder(lock, "locks") for lock in source["locks"]))
            for source in module.params["sources"]
        ]
        plan = plan_index(store, folders, purge=purge)
        actions = plan.actions
        if (actions or plan.learned) and not module.check_mode:
            with store.locked():
                # What another run did while this one waited counts.
                plan = plan_index(store, folders, purge=purge)
                actions = plan.actions
                plan.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result_of(plan, actions))


if __name__ == "__main__":
    main()
