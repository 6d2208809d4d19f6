# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_wheels``: see ``module_utils/python_index_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_wheels
short_description: Make a package index for pip and uv out of locks and folders of wheels
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
      - The files of a lock are not fetched, but their index is asked which there are.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
  - onprem.llm.fetching
  - onprem.llm.owner
  - onprem.llm.verify
options:
  root:
    description: The mirror's tree. The index is made in C(www/pypi) below it.
    type: path
    required: true
  sources:
    description:
      - Locks whose files are fetched, and folders on the managed host with what their files must be.
    type: list
    elements: dict
    default: []
    suboptions:
      folder:
        description:
          - The folder. Taken are C(*.whl) and C(*.tar.gz), folders in it are left alone.
          - Where it has a file C(SHA256SUMS), every wheel and source archive must be in that list, and have that digest.
          - Where a file may not change behind the store's back (owned by the user that runs the module, writable to nobody else, readable
            to all) and lies on the tree's file system with the tree's SELinux context, it is taken by a hard link, else by a copy. Editing
            such a file in place changes what is offered too, so replace files by renaming new ones over them.
        type: path
      locks:
        description:
          - Files on the managed host that say which digests are right, either requirements with C(--hash=sha256:), as C(uv pip compile
            --generate-hashes) makes them, or a list as C(sha256sum) prints it.
          - Every file of the folder must be named in one of them, with its digest. A lock may name more than the folder has.
        type: list
        elements: path
        default: []
      lock:
        description:
          - The text of a lock, requirements with C(--hash=sha256:), instead of a folder. Its files are fetched from
            O(sources[].index_urls).
          - The wheels whose digest the lock has are taken, and a source archive only where there is no wheel. Environment markers are not
            judged, so that what is offered does for every client that the lock is made for.
          - Files are fetched over several connections and in parts, which resume after any failure, and they count only with the digest of
            the lock. An answer of an index is kept, so that a second run asks nobody.
        type: str
      label:
        description: What errors call the lock.
        type: str
      index_urls:
        description:
          - Addresses of package indexes, such as V(https://pypi.org/simple). What any of them offers is taken.
          - Where an index gives addresses with a query, such as a signature, it goes to the server and is never shown, logged or kept.
        type: list
        elements: str
        default: []
      machines:
        description:
          - Machines of the clients, such as V(x86_64) and V(aarch64), with Linux and the GNU C library. Wheels for others are left out, and
            so are those for other systems and for musl. Empty for all that the lock has.
          - Where no wheel of a project is left, the run fails, unless the lock has an environment marker for it.
        type: list
        elements: str
        default: []
      pythons:
        description:
          - Versions of CPython of the clients, such as V(3.12). Wheels for others are left out, and so are those for a CPython without its
            lock (free-threaded). Empty for all that the lock has.
        type: list
        elements: str
        default: []
  purge:
    description:
      - What becomes of files that are offered, but that nothing in O(sources) has any more. By default they stay, so that a folder may be
        on a disk that is carried away. With V(true) the index offers what O(sources) have and nothing else.
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

- name: Offer what vLLM is installed from, for one kind of client
  onprem.llm.mirror_wheels:
    root: /srv/llm-mirror
    sources:
      - lock: "{{ lookup('ansible.builtin.file', 'vllm-0.32.0-cuda.txt') }}"
        index_urls: [https://pypi.org/simple]
        machines: [x86_64]
        pythons: ["3.12"]

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
bytes_fetched:
  description: How many bytes came, or would come, over the network.
  returned: success
  type: int
  sample: 0
bytes_copied:
  description: How many bytes were written. Zero where hard links did.
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
from ansible_collections.onprem.llm.plugins.module_utils.mirror_fetch import FETCH_SPEC, bring, fetch_access
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import as_owner
from ansible_collections.onprem.llm.plugins.module_utils.names import as_folder
from ansible_collections.onprem.llm.plugins.module_utils.python_folder import WheelFolder
from ansible_collections.onprem.llm.plugins.module_utils.python_index_plan import IndexPlan, plan_index
from ansible_collections.onprem.llm.plugins.module_utils.python_lock import parse_lock
from ansible_collections.onprem.llm.plugins.module_utils.python_wheel_set import WheelSet, as_wheel_set, choose
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import measured

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "sources": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "folder": {"type": "path"},
            "locks": {"type": "list", "elements": "path", "default": []},
            "lock": {"type": "str"},
            "label": {"type": "str"},
            "index_urls": {"type": "list", "elements": "str", "default": []},
            "machines": {"type": "list", "elements": "str", "default": []},
            "pythons": {"type": "list", "elements": "str", "default": []},
        },
        "required_one_of": [("folder", "lock")],
        "mutually_exclusive": [("folder", "lock")],
    },
    "purge": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": ""},
    "verify_days": {"type": "int"},
    **FETCH_SPEC,
}


def sets_of(sources: list[dict[str, Any]]) -> list[WheelSet]:
    """Return the sets that are fetched by their lock."""
    found = [source for source in sources if source["lock"]]
    return [
        as_wheel_set(parse_lock(source["lock"], source["label"] or "lock"), source["index_urls"], source["machines"], source["pythons"])
        for source in found
    ]


def folders_of(sources: list[dict[str, Any]]) -> list[WheelFolder]:
    """Return the folders on the host."""
    return [
        WheelFolder(as_folder(source["folder"], "folder"), tuple(as_folder(lock, "locks") for lock in source["locks"]))
        for source in sources
        if source["folder"]
    ]


def result_of(plan: IndexPlan, actions: list[str], diff: dict[str, str], fetched: int) -> dict[str, Any]:
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
    copied = plan.folder.bytes_copied
    return {"changed": bool(actions), "actions": actions, "bytes_copied": copied, "bytes_fetched": fetched, "files": files, "diff": diff}


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    sources, purge = module.params["sources"], module.params["purge"]
    try:
        access, owner = fetch_access(module.params), as_owner(module.params["owner"])
        store, folders = Store(host_folder(module.params["root"], "root"), verify_days=module.params["verify_days"]), folders_of(sources)
        choices = [choose(wanted, store, access) for wanted in sets_of(sources)]
        files = [file for choice in choices for file in choice.files]
        plan = plan_index(store, folders, files, purge=purge, owner=owner)
        actions, diff, fetched = plan.actions, plan.diff(), plan.bytes_fetched
        needs = {"needs": measured(plan.needs) if actions else []} if module.check_mode else {}
        learned = plan.learned or not all(choice.is_known for choice in choices)
        if (actions or learned) and not module.check_mode:
            fetched = bring(plan.jobs, store, access, module.log)
            with store.locked():
                # What another run did while this one fetched or waited counts.
                plan = plan_index(store, folders, files, purge=purge, owner=owner)
                plan.apply()
                for choice in choices:
                    choice.remember(store)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in store.damage:
        module.warn(warning)
    module.exit_json(**result_of(plan, actions, diff, fetched), **needs)


if __name__ == "__main__":
    main()
