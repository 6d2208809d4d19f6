# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``hub_model``: see ``module_utils/hub_pull.py`` and ``module_utils/layouts/hub_cache_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hub_model
short_description: Have a repository of the Hugging Face Hub in a cache
version_added: 0.2.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Fetches a repository of models, or some files of it, and lays it out in a cache as C(huggingface_hub) does, so that
    C(hf download), C(transformers), C(vllm serve org/name) and all else that reads the cache ask for no file any more, and work with
    C(HF_HUB_OFFLINE=1). No Python package is needed on the host.
  - Every file is verified, by its sha256 or by the sha1 that git has for it. What was fetched before a line dropped or a run was killed is
    not fetched again.
  - Each file is kept once, by the sha256 of its content, in O(store), and shared by hard links with the cache and with what other modules
    lay out, where these are on one file system.
  - A client never sees half a snapshot. Blobs come first, then the list of files and the snapshot as a whole, the branch last.
  - The list of files (C(trees/)) names all files of the commit, also those that O(allow) and O(ignore) leave out. So C(hf download) with
    the same patterns finds all it wants, and without patterns fetches the rest, or says offline that the snapshot is not complete.
  - Xet is never used, and not noted in the list of files, as a mirror has none.
attributes:
  check_mode:
    support: full
    details:
      - The Hub or mirror is asked what the repository consists of, but no file is fetched and nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - With O(update=true) a branch that has moved upstream is a change.
extends_documentation_fragment:
  - onprem.llm.attributes
  - onprem.llm.source
options:
  source:
    description:
      - V(hf:org/name), V(hf:org/name@revision) or V(hf:org/name@revision#file).
      - The revision is a branch, a tag, or a commit of 40 hexadecimal digits. A commit never changes, so that a second run asks
        nobody. Without one the branch V(main) is meant.
      - With a file, only this one is wanted.
    type: str
    required: true
  state:
    description:
      - Whether the files shall be there.
      - V(absent) removes what was laid out for the revision, and frees what nothing else uses. Files that other clients have put into the
        cache stay, and with them their snapshot. A commit that another branch stands for stays too.
    type: str
    choices: [present, absent]
    default: present
  cache_dir:
    description:
      - The folder of the cache (C(HF_HUB_CACHE), which is C(hub) below C(HF_HOME)). It is made if it does not exist.
    type: path
    required: true
  store:
    description: Folder of the store. It is made if it does not exist.
    type: path
    default: /var/lib/llm/store
  allow:
    description:
      - Patterns, of which a file must match one to be wanted. C(*) matches C(/) too, and a pattern that ends in C(/) means all that is
        in this folder, as with C(hf download --include).
      - Files that are there already stay if they are not wanted any more. O(state=absent) removes those that match.
    type: list
    elements: str
    default: []
  ignore:
    description: Patterns, of which a file must match none to be wanted, as with C(hf download --exclude).
    type: list
    elements: str
    default: []
  update:
    description:
      - Whether to follow a branch or tag that has moved upstream since it was laid out. Otherwise this is only told, by a warning and
        by RV(upstream_moved).
    type: bool
    default: false
  other_revisions:
    description:
      - What becomes of other revisions of the repository that this module has laid out in this cache. V(remove) frees what only they
        use. Those that other clients have put there stay.
    type: str
    choices: [keep, remove]
    default: keep
  verify_days:
    description:
      - Hash a file again if that was last done more than so many days ago, V(0) for always. Damaged files are fetched again.
      - Unless this is set, a file is hashed once and then again whenever its size, time, inode or a sample of its content changes.
    type: int
  owner:
    description:
      - Who owns the folders, links and small files that are made, a name or number. That user's clients can then add to the cache. Files
        that are hard links stay with whoever owns them in the store and are readable to all.
    type: str
  group:
    description: The group of the same, a name or number.
    type: str
seealso:
  - module: onprem.llm.model_info
  - module: onprem.llm.store_garbage
  - module: onprem.llm.vllm_model
  - name: The cache of huggingface_hub
    description: What the folders mean to clients.
    link: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

EXAMPLES = r"""
- name: Have a model at one commit, for vLLM and everybody else on the host
  onprem.llm.hub_model:
    source: hf:Qwen/Qwen2.5-0.5B-Instruct@7ae557604adf67be50417f59c2c2f167def9a775
    cache_dir: /var/lib/llm/hub
    owner: llm
    group: llm

- name: Have only what vLLM reads, from a mirror
  onprem.llm.hub_model:
    source: hf:Qwen/Qwen2.5-0.5B-Instruct
    endpoint: https://mirror.example.internal/hf
    cache_dir: /var/lib/llm/hub
    allow: ["*.safetensors", "*.json", "*.txt", "*.jinja"]

- name: Follow the branch, and keep nothing but its newest commit
  onprem.llm.hub_model:
    source: hf:org/name@main
    cache_dir: /var/lib/llm/hub
    update: true
    other_revisions: remove

- name: Remove all of a repository that was laid out
  onprem.llm.hub_model:
    source: hf:org/name
    cache_dir: /var/lib/llm/hub
    state: absent
    other_revisions: remove
"""

RETURN = r"""
commit:
  description: The commit that is laid out, or was. Empty where there was none.
  returned: success
  type: str
  sample: 7ae557604adf67be50417f59c2c2f167def9a775
folder:
  description: The folder of its files, which can be given to programs as the path of the model.
  returned: O(state=present)
  type: str
  sample: /var/lib/llm/hub/models--Qwen--Qwen2.5-0.5B-Instruct/snapshots/7ae557604adf67be50417f59c2c2f167def9a775
files:
  description: The wanted files, in the order of their names.
  returned: O(state=present)
  type: list
  elements: dict
  contains:
    name:
      description: The path of the file in the repository.
      type: str
    size:
      description: Its size in bytes.
      type: int
    digest:
      description:
        - Its digest after C(sha256:). In check mode, a small file that is yet to be fetched has the sha1 of git after C(git:).
      type: str
upstream_moved:
  description: The commit that the branch or tag has upstream, if that is another one than RV(commit). Empty otherwise.
  returned: success
  type: str
  sample: ""
bytes_fetched:
  description: How many bytes of files came over the network, or would in check mode.
  returned: success
  type: int
  sample: 988097824
bytes_copied:
  description: How many bytes were written into the cache. Zero where hard links did.
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
from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id, host_folder
from ansible_collections.onprem.llm.plugins.module_utils.hub_pull import Outcome, carried_out, removed, shown
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import etag_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.source_options import SOURCE_SPEC, access_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

ARGUMENT_SPEC: dict[str, Any] = {
    "source": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "cache_dir": {"type": "path", "required": True},
    "store": {"type": "path", "default": "/var/lib/llm/store"},
    "allow": {"type": "list", "elements": "str", "default": []},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "update": {"type": "bool", "default": False},
    "other_revisions": {"type": "str", "choices": ["keep", "remove"], "default": "keep"},
    "verify_days": {"type": "int"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    **SOURCE_SPEC,
}


def request_of(params: dict[str, Any], *, check: bool) -> Request:
    """Return what is asked for, every part checked."""
    ref = as_source(params["source"])
    if not isinstance(ref, HubRef):
        raise ModelError(f"The source must be a repository of the Hub, but it is '{ref}': write 'hf:org/name' or 'hf:org/name@revision'.")
    return Request(
        ref=ref,
        cache_dir=host_folder(params["cache_dir"], "cache_dir"),
        wanted=Wanted(ref.file, tuple(params["allow"]), tuple(params["ignore"])),
        owner=(account_id(params["owner"], "user", check=check), account_id(params["group"], "group", check=check)),
        alone=params["other_revisions"] == "remove",
    )


def result_of(outcome: Outcome) -> dict[str, Any]:
    """Return what the module reports."""
    plan = outcome.plan
    result: dict[str, Any] = {
        "changed": bool(outcome.actions),
        "commit": plan.commit,
        "upstream_moved": outcome.moved,
        "bytes_fetched": outcome.bytes_fetched,
        "bytes_copied": plan.bytes_copied,
        "actions": outcome.actions,
        "diff": outcome.diff,
    }
    if plan.files:

        def digest_of(blob: RemoteBlob) -> str:
            digest = outcome.digests.get(blob.name)
            return f"sha256:{digest}" if digest else f"git:{etag_of(blob)}"

        result["folder"] = str(plan.cache.snapshot_path(plan.commit))
        files = sorted(plan.files, key=lambda blob: blob.name)
        result["files"] = [{"name": blob.name, "size": blob.size, "digest": digest_of(blob)} for blob in files]
    return result


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params, check = module.params, module.check_mode
    try:
        request = request_of(params, check=check)
        store = Store(host_folder(params["store"], "store"), verify_days=params["verify_days"])
        access = access_of(params)

        def source_of(ref: HubRef) -> HubSource:
            return HubSource(ref, access)

        if params["state"] == "absent":
            outcome = removed(request, store, check=check)
        elif check:
            outcome = shown(request, store, source_of, update=params["update"])
        else:
            outcome = carried_out(request, store, source_of, module.log, update=params["update"])
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in [*outcome.warnings, *store.damage]:
        module.warn(warning)
    module.exit_json(**result_of(outcome))


if __name__ == "__main__":
    main()
