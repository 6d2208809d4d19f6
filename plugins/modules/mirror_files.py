# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_files``: see ``module_utils/mirror_files_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_files
short_description: Publish plain files in the tree of a mirror
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Offers files by name and version, such as the archives of a release, from C(artefacts/<name>/<version>/<file>) of a mirror, with a list
    C(SHA256SUMS) beside them that C(sha256sum --check) reads.
  - A file comes from a path on the managed host or from an address. What comes over the network is fetched over several connections, in
    parts, is resumed after any failure, and counts only once it has the digest that was asked for.
  - Each file is kept once, by the sha256 of its content, in the store that the mirror's tree is. Where the store has it, nobody is asked.
attributes:
  check_mode:
    support: full
    details:
      - Of files that would be fetched only the size is asked for.
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
    description: The mirror's tree. The files are placed in C(www/artefacts) below it.
    type: path
    required: true
  files:
    description: The files to offer.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What it is, such as V(ollama). It becomes a folder.
        type: str
        required: true
      version:
        description: Its version. It becomes a folder.
        type: str
        required: true
      file:
        description: The name under which it is offered.
        type: str
        required: true
      src:
        description:
          - A file on the managed host. Where it may not change behind the store's back (owned by the user that runs the module, writable to
            nobody else, readable to all) and lies on the tree's file system with the tree's SELinux context, it is taken by a hard link,
            else by a copy.
          - With O(files[].sha256), it may be gone once the store has it.
        type: path
      url:
        description:
          - An address from which the managed host can fetch it. Needs O(files[].sha256).
          - A query, such as the signature of a storage service, goes to the server. It is never shown, logged or kept.
        type: str
      sha256:
        description: The digest it must have, 64 hexadecimal digits, alone or after V(sha256:).
        type: str
      size:
        description: Its size in bytes, where O(files[].url) is used and the server does not tell it.
        type: int
  purge:
    description:
      - What becomes of files that are offered, but not in O(files). By default they stay. With V(true) the mirror offers what O(files) has
        and nothing else, and what a person put into C(www/artefacts) by hand is removed as well.
    type: bool
    default: false
seealso:
  - module: onprem.llm.mirror_wheels
  - module: onprem.llm.mirror_index
"""

EXAMPLES = r"""
- name: Offer a release of Ollama
  onprem.llm.mirror_files:
    root: /srv/llm-mirror
    files:
      - name: ollama
        version: 0.34.4
        file: ollama-linux-amd64.tar.zst
        url: https://github.com/ollama/ollama/releases/download/v0.34.4/ollama-linux-amd64.tar.zst
        sha256: c238986e61d40c0cc5f4a9b9e40b9eea104350b77efa34741fc134e105cb9533

- name: Offer what was carried in
  onprem.llm.mirror_files:
    root: /srv/llm-mirror
    files:
      - name: driver
        version: 580.95.05
        file: NVIDIA-Linux-x86_64-580.95.05.run
        src: /media/usb/NVIDIA-Linux-x86_64-580.95.05.run
        sha256: "{{ driver_sha256 }}"
"""

RETURN = r"""
files:
  description: The files that are offered, in the order of their places.
  returned: success
  type: list
  elements: dict
  contains:
    place:
      description: Where it is, below C(artefacts/).
      type: str
    digest:
      description: Its digest.
      type: str
bytes_fetched:
  description: How many bytes came, or would come, over the network.
  returned: success
  type: int
  sample: 0
bytes_copied:
  description: How many bytes of files on the host were copied. Zero where hard links did.
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

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.mirror_fetch import (
    FETCH_SPEC,
    bring,
    fetch_access,
    hide_addresses,
    remote_size,
)
from ansible_collections.onprem.llm.plugins.module_utils.mirror_files_plan import FilesPlan, as_artefact, plan_files
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import as_owner
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import measured

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        # An address may hold a secret.
        "no_log": True,
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "file": {"type": "str", "required": True},
            "src": {"type": "path"},
            "url": {"type": "str"},
            "sha256": {"type": "str"},
            "size": {"type": "int"},
        },
    },
    "purge": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": ""},
    "verify_days": {"type": "int"},
    **FETCH_SPEC,
}


def result_of(plan: FilesPlan, actions: list[str], diff: dict[str, str], fetched: int) -> dict[str, Any]:
    """Return what the module reports."""
    return {
        "changed": bool(actions),
        "actions": actions,
        "bytes_copied": plan.folder.bytes_copied,
        "bytes_fetched": fetched,
        "files": [{"place": place, "digest": f"sha256:{digest}"} for place, digest in sorted(plan.folder.links.items())],
        "diff": diff,
    }


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    hide_addresses(module, module.params["files"])
    purge = module.params["purge"]
    try:
        access, owner = fetch_access(module.params), as_owner(module.params["owner"])
        artefacts = [as_artefact(wish) for wish in module.params["files"]]
        store = Store(host_folder(module.params["root"], "root"), verify_days=module.params["verify_days"])
        size_of = partial(remote_size, access=access)
        plan = plan_files(store, artefacts, size_of, purge=purge, owner=owner)
        actions, diff, fetched, warnings = plan.actions, plan.diff(), plan.bytes_fetched, plan.warnings
        needs = {"needs": measured(plan.needs) if actions else []} if module.check_mode else {}
        if (actions or plan.learned) and not module.check_mode:
            fetched = bring(plan.jobs, store, access, module.log)
            with store.locked():
                # What another run did while this one fetched or waited counts.
                plan = plan_files(store, artefacts, size_of, purge=purge, owner=owner)
                plan.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in [*warnings, *store.damage]:
        module.warn(warning)
    module.exit_json(**result_of(plan, actions, diff, fetched), **needs)


if __name__ == "__main__":
    main()
