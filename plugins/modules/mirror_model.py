# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_model``: see ``module_utils/mirror_publish.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_model
short_description: Publish a model in the tree of a mirror, or withdraw it
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Fetches a model from the Hub, from a registry of Ollama or from the host, and lays it out in the tree that the role
    P(onprem.llm.mirror#role) serves, where unmodified clients find it. nginx need not be told.
  - Each file is kept once, by the sha256 of its content, and is checked before it is laid out. Files come first, then what lists them, and
    names last, each by one rename, so that no client ever sees half a model.
  - A download that breaks off goes on where it was when the module runs again.
  - What moved upstream is told as RV(moved_to) and in a warning, and stays as it was published unless O(update=true).
attributes:
  check_mode:
    support: full
    details:
      - The source is asked what the model consists of, and files of the host are read that were never hashed before.
      - No file of a model is fetched.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
  - onprem.llm.source
  - onprem.llm.verify
options:
  source:
    description:
      - Where the model comes from. V(hf:org/name@revision), of which only one file is taken with V(#file) at its end;
        V(ollama:[host/][namespace/]model:tag); or V(file:/absolute/path) on the host, a GGUF file with O(name) or a folder with O(repo).
      - A revision of 40 hexadecimal digits never changes, so nobody is asked for it again once it is there.
    type: str
    required: true
  state:
    description: Whether the mirror shall offer the model. V(absent) removes its name, and then what no other name uses.
    type: str
    choices: [present, absent]
    default: present
  root:
    description: The tree of the mirror, as C(mirror_root) of the role.
    type: path
    default: /srv/llm-mirror
  name:
    description:
      - What clients of Ollama ask for, C([namespace/]model[:tag]).
      - A source V(ollama:) has that name already and may get another one, such as one of another registry.
    type: str
  repo:
    description: The repository as which a folder of the host is published, C(org/name).
    type: str
  branch:
    description:
      - The branch by which clients find a repository, such as V(main) for those that name none.
      - By default the branch or tag of O(source), and none where that is a commit; V(main) for a folder of the host.
      - A branch that was published by itself before leads to this publication from then on, and its own is withdrawn.
    type: str
  allow:
    description:
      - Patterns of the files that are published, as C(hf download --include) understands them. Empty means all.
      - Where files are left out, clients get the rest under a commit of its own, RV(revision), for they keep the list of a commit for ever.
        Under a real commit, where O(source) names one, the mirror has the real list, and those of its files that are published.
    type: list
    elements: str
    default: []
  ignore:
    description: Patterns of files that are left out.
    type: list
    elements: str
    default: []
  sha256:
    description:
      - The digest that the manifest of an V(ollama:) model, the GGUF file or the file C(SHA256SUMS) of the folder must have.
    type: str
  update:
    description: Whether a branch or tag that moved upstream shall move here too.
    type: bool
    default: false
  template:
    description: For a GGUF file, a chat template in Go's template language. See M(onprem.llm.ollama_model).
    type: str
    default: ""
  system:
    description: For a GGUF file, a system prompt.
    type: str
    default: ""
  license:
    description: For a GGUF file, the licence of the model, as text.
    type: str
    default: ""
  parameters:
    description: For a GGUF file, parameters as in a Modelfile.
    type: dict
    default: {}
notes:
  - The tree belongs to the user that runs the module; nginx only reads it.
  - Clients of the Hub refuse files over 50 GB from a mirror, which is told in a warning. The modules of this collection take them.
seealso:
  - module: onprem.llm.ollama_model
"""

EXAMPLES = r"""
- name: Publish a repository of the Hub, for clients that name no revision too
  onprem.llm.mirror_model:
    source: hf:Qwen/Qwen2.5-0.5B-Instruct@7ae557604adf67be50417f59c2c2f167def9a775
    branch: main

- name: Publish the safetensors of a repository alone
  onprem.llm.mirror_model:
    source: hf:mistralai/Mistral-7B-Instruct-v0.3@main
    ignore: ["consolidated.safetensors", "*.gguf"]

- name: Take over what a tag means upstream now
  onprem.llm.mirror_model:
    source: ollama:qwen2.5:7b
    update: true

- name: Publish a GGUF file of the host as a model of Ollama
  onprem.llm.mirror_model:
    source: file:/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf
    name: smollm2-135m

- name: Withdraw a model
  onprem.llm.mirror_model:
    source: ollama:qwen2.5:7b
    state: absent
"""

RETURN = r"""
name:
  description: What clients ask the mirror for.
  returned: success
  type: str
  sample: Qwen/Qwen2.5-0.5B-Instruct
revision:
  description: The commit by which clients know it, or the digest of the manifest of Ollama.
  returned: O(state=present)
  type: str
  sample: 7ae557604adf67be50417f59c2c2f167def9a775
commit:
  description: The commit upstream, which differs from RV(revision) where files are left out. Empty for what is not from the Hub.
  returned: O(state=present)
  type: str
moved_to:
  description: What a branch or tag means upstream now, where that is not what is published. Empty otherwise.
  returned: O(state=present)
  type: str
size:
  description: Bytes of all files of the model.
  returned: O(state=present)
  type: int
missing:
  description: What the tree did not have, by its digest (for small files by its name in git), and its size in bytes.
  returned: O(state=present)
  type: dict
bytes_to_fetch:
  description: Bytes that were to come over the network when the module began, less what an earlier run had fetched already.
  returned: O(state=present)
  type: int
bytes_fetched:
  description: Bytes that came over the network.
  returned: success
  type: int
bytes_copied:
  description: Bytes that were copied on the host, in check mode how many would be. Zero where hard links did.
  returned: success
  type: int
needs:
  description: What has to be written before the model is there, and the free space for it. Two that have the same C(content) need it once.
  returned: in check mode
  type: list
  elements: dict
  contains:
    folder:
      description: Where it is written.
      type: str
    size:
      description: Its size in bytes; less than 0 for what a run that broke off has left, which is removed first.
      type: int
    content:
      description: What it is; empty where no other model could need the same.
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
from ansible_collections.onprem.llm.plugins.module_utils.mirror_publish import Outcome, Request, publish, request_of, withdraw
from ansible_collections.onprem.llm.plugins.module_utils.source_options import SOURCE_SPEC, access_of
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import measured

ARGUMENT_SPEC: dict[str, Any] = {
    "source": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "root": {"type": "path", "default": "/srv/llm-mirror"},
    "name": {"type": "str"},
    "repo": {"type": "str"},
    "branch": {"type": "str"},
    "allow": {"type": "list", "elements": "str", "default": []},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "sha256": {"type": "str"},
    "update": {"type": "bool", "default": False},
    "verify_days": {"type": "int"},
    "template": {"type": "str", "default": ""},
    "system": {"type": "str", "default": ""},
    "license": {"type": "str", "default": ""},
    "parameters": {"type": "dict", "default": {}},
    **SOURCE_SPEC,
}


def result_of(request: Request, outcome: Outcome, *, check: bool) -> dict[str, Any]:
    """Return what the module reports."""
    goods = outcome.goods
    result: dict[str, Any] = {
        "changed": bool(outcome.actions),
        "name": request.place.shown,
        "actions": outcome.actions,
        "bytes_fetched": outcome.bytes_fetched,
        "bytes_copied": 0,
        "diff": outcome.plan.diff(),
    }
    if goods:
        result["bytes_copied"] = goods.bytes_to_copy if check else goods.bytes_copied
        result["revision"] = goods.releases[0].commit if goods.releases else goods.revision
        result["commit"] = goods.commit
        result["moved_to"] = goods.moved_to
        result["size"] = goods.size
        result["missing"] = outcome.missing
        result["bytes_to_fetch"] = outcome.bytes_to_fetch
        if check:
            result["needs"] = measured(goods.needs)
    return result


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    check = module.check_mode
    try:
        request = request_of(module.params)
        store = Store(host_folder(module.params["root"], "root"), verify_days=module.params["verify_days"])
        if module.params["state"] == "absent":
            outcome = withdraw(request, store, check=check)
        else:
            outcome = publish(request, store, access_of(module.params), None if check else module.log)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in [*(outcome.goods.warnings if outcome.goods else []), *store.damage]:
        module.warn(warning)
    module.exit_json(**result_of(request, outcome, check=check))


if __name__ == "__main__":
    main()
