# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``ollama_model``: see ``module_utils/layouts/ollama_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
short_description: Lay a GGUF file out as a model of Ollama
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Gives Ollama a model by writing what C(ollama create) would write, blobs, config and manifest, into its model folder. Ollama
    need not run, is not asked and is not restarted. It offers the model at once.
  - The file is kept once, by the sha256 of its content, in O(store), and shared with the model folder by a hard link where both
    are on one file system. Blobs come first and the name comes last, so that Ollama never sees half a model.
  - Removing a model frees only what no other model uses. Models that Ollama pulled or created by itself are respected.
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
      - What clients ask for, C([namespace/]model[:tag]), as Ollama accepts it. Without a tag V(latest) is meant.
    type: str
    required: true
  state:
    description: Whether Ollama shall have the model.
    type: str
    choices: [present, absent]
    default: present
  source:
    description:
      - Where the GGUF file comes from. So far only V(file:/absolute/path) on the managed host.
      - The file is only read. A truncated file, a LoRA adapter, a projector and a part of a split model are refused.
      - Where the file may not change behind the store's back (owned by the user that runs the module, writable to nobody else,
        readable to all) and lies on the store's file system, it becomes a blob by a hard link, else by a copy. Editing such a
        file in place changes the blob too. The next run notices by size, time and content, and then takes the new
        content in, or fails where O(sha256) says otherwise. Replace files by renaming new ones over them.
      - With O(sha256), the file may be gone once the store holds it.
      - Required if O(state=present).
    type: str
  sha256:
    description:
      - The digest that the GGUF file must have, 64 hexadecimal digits, alone or after V(sha256:).
    type: str
  store:
    description: Folder of the store. It is made if it does not exist.
    type: path
    default: /var/lib/llm/store
  models_dir:
    description: Ollama's model folder (E(OLLAMA_MODELS)). It is made if it does not exist.
    type: path
    required: true
  template:
    description:
      - A chat template in Go's template language, which takes the place of the one inside the GGUF. Mark it C(!unsafe) in YAML.
      - V(chatml) alone means the ChatML template of Ollama, which adds no system prompt. It suits small models whose own template adds one
        that they cannot bear.
      - Without it none is written, and Ollama 0.30 and later uses the chat template of the GGUF itself, which fits the model
        best. C(ollama create) differs here, as it puts the most similar of its own templates above that of the GGUF.
      - Without it, the few architectures that Ollama renders in its own code get that renderer, as from C(ollama create).
    type: str
    default: ""
  system:
    description: A system prompt.
    type: str
    default: ""
  license:
    description: The licence of the model, as text.
    type: str
    default: ""
  parameters:
    description:
      - Parameters as in a Modelfile, such as C(temperature) and C(num_ctx). A value of the wrong type is refused.
    type: dict
    default: {}
  owner:
    description:
      - Who owns the folders, the manifest and the small blobs that are made, a name or number. That is the service user, so that Ollama can
        add models of its own. The GGUF itself stays with whoever owns it in the store and is readable to all.
    type: str
  group:
    description: The group of the same, a name or number.
    type: str
notes:
  - The GGUF is not owned by Ollama, so that it cannot alter what the store holds. Therefore C(ollama create) cannot build upon it, as
    it wants to set the time of the file. Use this module again, with the same O(source) and other settings.
seealso:
  - module: onprem.llm.endpoint_check
"""

EXAMPLES = r"""
- name: Serve a carried-in model
  onprem.llm.ollama_model:
    name: smollm2-135m
    source: file:/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf
    sha256: b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    models_dir: /var/lib/llm/ollama/models
    parameters:
      temperature: 0
      num_ctx: 2048
    owner: llm
    group: llm

- name: Serve the same file under another name with another prompt, without a second copy
  onprem.llm.ollama_model:
    name: team/translator:v1
    source: file:/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf
    system: Translate what you are told into Korean.
    models_dir: /var/lib/llm/ollama/models
    owner: llm
    group: llm

- name: Remove a model and free what only it used
  onprem.llm.ollama_model:
    name: smollm2-135m
    state: absent
    models_dir: /var/lib/llm/ollama/models
"""

RETURN = r"""
name:
  description: The name as Ollama lists it.
  returned: success
  type: str
  sample: smollm2-135m:latest
digest:
  description: The digest of the GGUF.
  returned: O(state=present)
  type: str
  sample: sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
manifest_digest:
  description: The digest of the manifest, which Ollama shows as the model's ID.
  returned: O(state=present)
  type: str
  sample: sha256:1f0b9b0d4c0f4b7e2a1f3a9d7a5ad1a2d6d6e6f5b5c4b3a29181706f5e4d3c2b
blobs:
  description: The blobs of the model.
  returned: O(state=present)
  type: list
  elements: dict
  contains:
    digest:
      description: The digest of the blob.
      type: str
    media_type:
      description: What the blob is to Ollama.
      type: str
    size:
      description: Its size in bytes.
      type: int
bytes_copied:
  description: How many bytes of the GGUF were written. Zero where hard links did.
  returned: success
  type: int
  sample: 0
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
      description: Its size in bytes.
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
from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_plan import Plan, Request, plan_model
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import checked_settings
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest, as_folder, as_model_name, as_source
from ansible_collections.onprem.llm.plugins.module_utils.store import Store, measured

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "source": {"type": "str"},
    "sha256": {"type": "str"},
    "store": {"type": "path", "default": "/var/lib/llm/store"},
    "models_dir": {"type": "path", "required": True},
    "template": {"type": "str", "default": ""},
    "system": {"type": "str", "default": ""},
    "license": {"type": "str", "default": ""},
    "parameters": {"type": "dict", "default": {}},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


def request_of(params: dict[str, Any], *, check: bool) -> Request:
    """Return what is asked for, every part checked."""
    present = params["state"] == "present"
    return Request(
        name=as_model_name(params["name"]),
        models_dir=as_folder(params["models_dir"], "models_dir"),
        source=as_source(params["source"]) if present else None,
        pinned=as_digest(params["sha256"]) if params["sha256"] else None,
        settings=checked_settings(params["template"], params["system"], params["license"], params["parameters"]),
        owner=(account_id(params["owner"], "user", check=check), account_id(params["group"], "group", check=check)),
    )


def result_of(plan: Plan, actions: list[str], *, check: bool) -> dict[str, Any]:
    """Return what the module reports."""
    result: dict[str, Any] = {
        "changed": bool(actions),
        "name": str(plan.request.name),
        "actions": actions,
        "bytes_copied": plan.bytes_copied,
        "diff": plan.diff(),
    }
    if check:
        result["needs"] = measured(plan.needs)
    if plan.image:
        layers = plan.image.blobs.values()
        result["digest"] = f"sha256:{plan.image.weights.digest}"
        result["manifest_digest"] = f"sha256:{plan.image.digest}"
        result["blobs"] = [{"digest": f"sha256:{a.digest}", "media_type": a.media_type, "size": a.size} for a in layers]
    return result


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, required_if=[("state", "present", ["source"])], supports_check_mode=True)
    check = module.check_mode
    try:
        request = request_of(module.params, check=check)
        store = Store(as_folder(module.params["store"], "store"))
        plan = plan_model(request, store, check=check)
        actions = plan.actions
        if (plan.changed or plan.learned) and not check:
            with store.locked():
                # What another run did while this one waited counts.
                plan = plan_model(request, store)
                actions = plan.actions
                plan.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in plan.warnings:
        module.warn(warning)
    module.exit_json(**result_of(plan, actions, check=check))


if __name__ == "__main__":
    main()
