# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``vllm_model``: see ``module_utils/layouts/model_folder_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_model
short_description: Lay a folder of safetensors out for vLLM
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Gives vLLM a model by laying a checked copy of a folder out, weights, config and tokenizer, which costs no second copy on disk.
    vLLM need not run, is not asked and is not restarted.
  - Before anything is written, the folder must be complete. The config says what the model is, there is a tokenizer, every file of weights
    is there, is as long as its own header says and holds the tensors that the index promises, and where the folder has a
    file C(SHA256SUMS), every file has the digest that it lists.
  - Each file is kept once, by the sha256 of its content, in O(store), and shared with the laid out folder by a hard link where both
    are on one file system. The folder is made beside its place and moved there as a whole, so that a reader never sees half a model.
  - Removing a model frees only what no other model uses, those of Ollama included.
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
  name:
    description:
      - Name of the folder below O(models_dir). It is also what stands behind the C(@) of the systemd unit, see
        P(onprem.llm.vllm_instances#filter).
    type: str
    required: true
  state:
    description: Whether the model shall be there.
    type: str
    choices: [present, absent]
    default: present
  source:
    description:
      - Where the model comes from. So far only V(file:/absolute/folder) on the managed host, in the layout of Hugging Face.
      - The folder is only read. Taken are C(*.json), C(*.txt), C(*.jinja), C(*.model), C(*.tiktoken), licences, C(SHA256SUMS) and the
        weights, which are C(model.safetensors) or the files that C(model.safetensors.index.json) names. All else is left, code and folders
        included.
      - Weights as pickle (C(*.bin), C(*.pt)) can run code when they are loaded. They are not taken, and refused where there are no others.
      - Links that lead out of the folder, as in the cache of C(huggingface_hub), are refused. C(cp -rL) makes a copy without them.
      - Where a file may not change behind the store's back (owned by the user that runs the module, writable to nobody else,
        readable to all) and lies on the store's file system, it becomes a blob by a hard link, else by a copy. Editing such a
        file in place changes the model too, so replace files by renaming new ones over them.
      - Without C(SHA256SUMS) the digests are taken from the files as they are (trust on first use), with a warning.
      - With O(sha256), the folder may be gone once the store holds all of it.
      - Required if O(state=present).
    type: str
  sha256:
    description:
      - The digest of the folder's file C(SHA256SUMS), 64 hexadecimal digits, alone or after V(sha256:). As that file lists the digests of
        all others, this one value pins the whole folder.
      - C(cd FOLDER && sha256sum -- * > SHA256SUMS && sha256sum SHA256SUMS) makes the list and tells the value.
    type: str
  store:
    description: Folder of the store. It is made if it does not exist.
    type: path
    default: /var/lib/llm/store
  models_dir:
    description: The folder of the laid out models. It is made if it does not exist.
    type: path
    required: true
  owner:
    description:
      - Who owns the folders that are made, a name or number. The files stay with whoever owns them in the store and are readable to all.
    type: str
  group:
    description: The group of the same, a name or number.
    type: str
seealso:
  - module: onprem.llm.ollama_model
  - module: onprem.llm.endpoint_check
"""

EXAMPLES = r"""
- name: Lay out a carried-in model
  onprem.llm.vllm_model:
    name: smollm2-135m-vllm
    source: file:/srv/in/SmolLM2-135M-Instruct
    sha256: edf4c91d28ee588efa947094b55a834bdb72b95e95ccde5bdbefb558ce2ada48
    models_dir: /var/lib/llm/vllm/models
    owner: llm
    group: llm

- name: Lay out the models of the list
  onprem.llm.vllm_model: "{{ item | onprem.llm.vllm_model_params('/var/lib/llm/vllm/models', '/var/lib/llm/store', 'llm', 'llm') }}"
  loop: "{{ llm_models | onprem.llm.vllm_instances }}"
  loop_control:
    label: "{{ item.name }}"

- name: Remove a model and free what only it used
  onprem.llm.vllm_model:
    name: smollm2-135m-vllm
    state: absent
    models_dir: /var/lib/llm/vllm/models
"""

RETURN = r"""
folder:
  description: The laid out folder, which vLLM is given as its model.
  returned: success
  type: str
  sample: /var/lib/llm/vllm/models/smollm2-135m-vllm
digest:
  description:
    - One digest for all the files, that of their list as C(sha256sum) prints it, in the order of their names, without C(SHA256SUMS) itself.
  returned: O(state=present)
  type: str
  sample: sha256:edf4c91d28ee588efa947094b55a834bdb72b95e95ccde5bdbefb558ce2ada48
files:
  description: The files of the model, in the order of their names.
  returned: O(state=present)
  type: list
  elements: dict
  contains:
    name:
      description: The name of the file.
      type: str
    digest:
      description: Its digest.
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
from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder_plan import Plan, Request, plan_folder
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest, as_folder, as_instance, as_source
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "source": {"type": "str"},
    "sha256": {"type": "str"},
    "store": {"type": "path", "default": "/var/lib/llm/store"},
    "models_dir": {"type": "path", "required": True},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


def request_of(params: dict[str, Any], *, check: bool) -> Request:
    """Return what is asked for, every part checked."""
    return Request(
        name=as_instance(params["name"]),
        models_dir=as_folder(params["models_dir"], "models_dir"),
        source=as_source(params["source"]) if params["state"] == "present" else None,
        pinned=as_digest(params["sha256"]) if params["sha256"] else None,
        owner=(account_id(params["owner"], "user", check=check), account_id(params["group"], "group", check=check)),
    )


def result_of(plan: Plan, actions: list[str]) -> dict[str, Any]:
    """Return what the module reports."""
    result: dict[str, Any] = {
        "changed": bool(actions),
        "folder": str(plan.target.path),
        "actions": actions,
        "bytes_copied": plan.bytes_copied,
        "diff": plan.diff(),
    }
    if plan.folder:
        result["digest"] = f"sha256:{plan.folder.digest}"
        result["files"] = [{"name": file.name, "digest": f"sha256:{file.digest}", "size": file.size} for file in plan.folder.files]
    return result


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, required_if=[("state", "present", ["source"])], supports_check_mode=True)
    check = module.check_mode
    try:
        request = request_of(module.params, check=check)
        store = Store(as_folder(module.params["store"], "store"))
        plan = plan_folder(request, store, check=check)
        actions = plan.actions
        if (plan.changed or plan.learned) and not check:
            with store.locked():
                # What another run did while this one waited counts.
                plan = plan_folder(request, store)
                actions = plan.actions
                plan.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in plan.warnings:
        module.warn(warning)
    module.exit_json(**result_of(plan, actions))


if __name__ == "__main__":
    main()
