# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``vllm_model``: see ``module_utils/layouts/model_folder_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_model
short_description: Give vLLM a model, from a folder or over the network
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
      - A source over the network is asked what it has and is judged by the names of its files. Nothing of it is fetched.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
  - onprem.llm.source
  - onprem.llm.model
options:
  name:
    description:
      - Name of the folder below O(models_dir). It is also what stands behind the C(@) of the systemd unit, see
        P(onprem.llm.vllm_instances#filter).
    type: str
    required: true
  source:
    description:
      - Where the model comes from. V(file:/absolute/folder) is a folder on the managed host in the layout of Hugging Face. It is only read.
      - V(hf:org/name[@revision]) is a repository of Hugging Face's Hub. A commit as revision pins the model, and without a revision V(main)
        is meant.
      - Taken are C(*.json), C(*.txt), C(*.jinja), C(*.model), C(*.tiktoken), licences, C(SHA256SUMS) and the
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
  models_dir:
    description: The folder of the laid out models. It is made if it does not exist.
    type: path
    required: true
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

- name: Fetch and lay out a model of the Hub, pinned by its commit
  onprem.llm.vllm_model:
    name: llama-3.1-8b
    source: hf:meta-llama/Llama-3.1-8B-Instruct@0e9e39f249a16976918f6564b8830bc894c89659
    token: "{{ llm_hub_token }}"
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
  returned: O(state=present), unless the files are yet to be fetched
  type: str
  sample: sha256:edf4c91d28ee588efa947094b55a834bdb72b95e95ccde5bdbefb558ce2ada48
files:
  description: The files of the model, in the order of their names.
  returned: O(state=present), unless they are yet to be fetched
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
bytes_fetched:
  description: How many bytes came over the network, in check mode how many would.
  returned: success
  type: int
  sample: 0
revision:
  description: The commit, or the sha256 of the manifest, of a source over the network.
  returned: success
  type: str
  sample: 845dbda0ea48ed749caafd9e6037047aa19acfcfd82e704d7ca97d631a0b697e
upstream_moved:
  description: The revision that upstream has now, where the model that is there has another and O(update) is off. Empty if there is none.
  returned: success
  type: str
  sample: ""
needs:
  description: What has to be written before the model is there, see RV(onprem.llm.ollama_model#module:needs).
  returned: in check mode
  type: list
  elements: dict
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
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder_plan import Plan, Request, plan_folder
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder_upstream import refuse_unfit
from ansible_collections.onprem.llm.plugins.module_utils.model_module import (
    ENTRY_SPEC,
    PLACE_SPEC,
    REQUIRED_IF,
    Done,
    asking_of,
    carried_out,
    needs_of,
    only_shown,
    owner_of_params,
)
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest, as_instance, as_source
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import steady


def request_of(params: dict[str, Any], *, check: bool) -> Request:
    """Return what is asked for, every part checked."""
    source = as_source(params["source"]) if params["state"] == "present" else None
    pinned = as_digest(params["sha256"]) if params["sha256"] else None
    if source:
        refuse_unfit(source, pinned)
    return Request(
        name=as_instance(params["name"]),
        models_dir=host_folder(params["models_dir"], "models_dir"),
        source=source,
        asking=asking_of(params),
        pinned=pinned,
        owner=owner_of_params(params, check=check),
    )


def result_of(done: Done[Plan], *, check: bool) -> dict[str, Any]:
    """Return what the module reports."""
    plan = done.plan
    result = {**done.result, "folder": str(plan.target.path)}
    if check:
        result["needs"] = needs_of(plan)
    if plan.folder:
        result["digest"] = f"sha256:{plan.folder.digest}"
        result["files"] = [{"name": file.name, "digest": f"sha256:{file.digest}", "size": file.size} for file in plan.folder.files]
    return result


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec={**ENTRY_SPEC, **PLACE_SPEC}, required_if=REQUIRED_IF, supports_check_mode=True)
    check = module.check_mode
    try:
        request = request_of(module.params, check=check)
        store = Store(host_folder(module.params["store"], "store"), verify_days=module.params["verify_days"])
        plan = steady(lambda: plan_folder(request, store, check=check))
        done = only_shown(plan) if check else carried_out(plan, lambda upstream: plan_folder(request, store, upstream=upstream), module.log)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in done.warnings:
        module.warn(warning)
    module.exit_json(**result_of(done, check=check))


if __name__ == "__main__":
    main()
