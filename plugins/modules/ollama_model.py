# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``ollama_model``: see ``module_utils/layouts/ollama_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
short_description: Give Ollama a model, from a file or over the network
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Gives Ollama a model by writing what C(ollama create) would write, blobs, config and manifest, into its model folder. Ollama
    need not run, is not asked and is not restarted. It offers the model at once.
  - What comes over the network is fetched by this module itself, in parallel and checked, and goes on where an earlier run was cut off.
  - Each file is kept once, by the sha256 of its content, in O(store), and shared with the model folder by a hard link where both
    are on one file system. Blobs come first and the name comes last, so that Ollama never sees half a model.
  - Removing a model frees only what no other model uses. Models that Ollama pulled or created by itself are respected.
attributes:
  check_mode:
    support: full
    details:
      - A file that was never hashed before is read as a whole in check mode, and read again in the run that follows.
      - A source over the network is asked what it has, and nothing of it is fetched. What depends on the header of a GGUF is told once that
        is there.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
  - onprem.llm.source
  - onprem.llm.model.ollama
notes:
  - The GGUF is not owned by Ollama, so that it cannot alter what the store holds. Therefore C(ollama create) cannot build upon it, as
    it wants to set the time of the file. Use this module again, with the same O(source) and other settings.
seealso:
  - module: onprem.llm.ollama_models
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

- name: Serve a model of Ollama's registry, pinned by its ID
  onprem.llm.ollama_model:
    name: qwen2.5:7b
    source: ollama:qwen2.5:7b-instruct-q4_K_M
    sha256: 845dbda0ea48ed749caafd9e6037047aa19acfcfd82e704d7ca97d631a0b697e
    models_dir: /var/lib/llm/ollama/models
    url: http://127.0.0.1:11434
    owner: llm
    group: llm

- name: Serve a GGUF file of the Hub through a mirror, and follow its branch
  onprem.llm.ollama_model:
    name: smollm2
    source: hf:bartowski/SmolLM2-135M-Instruct-GGUF@main#SmolLM2-135M-Instruct-Q4_K_M.gguf
    endpoint: https://mirror.example/hf
    update: true
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
  returned: O(state=present), unless it is known only once the file was fetched
  type: str
  sample: sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
manifest_digest:
  description: The digest of the manifest, which Ollama shows as the model's ID.
  returned: O(state=present), unless it is known only once the file was fetched
  type: str
  sample: sha256:1f0b9b0d4c0f4b7e2a1f3a9d7a5ad1a2d6d6e6f5b5c4b3a29181706f5e4d3c2b
blobs:
  description: The blobs of the model.
  returned: O(state=present), unless they are known only once the file was fetched
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_params import ENTRY, PLACES, request_of, result_of, store_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_plan import plan_model
from ansible_collections.onprem.llm.plugins.module_utils.model_module import REQUIRED_IF, carried_out, only_shown
from ansible_collections.onprem.llm.plugins.module_utils.store_files import steady


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec={**ENTRY, **PLACES}, required_if=REQUIRED_IF, supports_check_mode=True)
    check = module.check_mode
    try:
        request, store = request_of(module.params, check=check), store_of(module.params)
        plan = steady(lambda: plan_model(request, store, check=check))
        done = only_shown(plan) if check else carried_out(plan, lambda upstream: plan_model(request, store, upstream=upstream), module.log)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in done.warnings:
        module.warn(warning)
    module.exit_json(**result_of(done, check=check))


if __name__ == "__main__":
    main()
