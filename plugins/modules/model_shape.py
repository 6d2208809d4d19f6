# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``model_shape``: see ``module_utils/model_shape.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_shape
short_description: Tell what models say of their size and architecture
version_added: 0.2.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Reads the header of a GGUF, or the C(config.json) beside safetensors, and how many bytes an engine loads, for models on the host, of the
    Hub and of registries of Ollama. From that the memory can be computed that a model needs.
  - No model is fetched. Of the Hub and of a registry it takes the list of files, and of a GGUF its first bytes, by ranges, 32 MiB at most,
    also where a server does not know ranges.
  - What cannot be read is told in RV(shapes[].reason) and fails nothing, such as a file that is not there, or a server that does not
    answer.
attributes:
  check_mode:
    support: full
    details:
      - Check mode does the same, for nothing is written.
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  sources:
    description:
      - The models, as O(onprem.llm.mirror_model#module:source) names them. V(file:/absolute/path.gguf) or V(file:/absolute/folder) on the
        host; V(hf:org/name@revision) with safetensors, or with V(#file.gguf) at its end one GGUF of it;
        V(ollama:[host/][namespace/]model:tag).
    type: list
    elements: str
    required: true
  hub_endpoint:
    description:
      - Base URL of the server that takes the place of V(https://huggingface.co), as C(llm_hub_url).
      - Proxies are those of the environment, C(HTTPS_PROXY), C(HTTP_PROXY) and C(NO_PROXY).
    type: str
    default: ''
  registry_endpoint:
    description: Base URL of the server that takes the place of V(https://registry.ollama.ai), as C(llm_ollama_registry_url).
    type: str
    default: ''
  token:
    description:
      - Token of the Hub, for repositories that are gated or private.
      - It is sent to O(hub_endpoint) only, and only by https or within the host.
    type: str
    default: ''
  ca_path:
    description: File with further certificate authorities to trust (PEM), beside those of the system.
    type: path
    default: ''
  ca_content:
    description: More of them, as text.
    type: str
    default: ''
  retries:
    description: Attempts after the first one for each request, from 0 to 100.
    type: int
    default: 1
  timeout:
    description: Seconds without a byte after which a connection counts as dead, from 1 to 3600.
    type: int
    default: 10
notes:
  - Up to eight sources are asked at a time.
seealso:
  - module: onprem.llm.model_info
"""

EXAMPLES = r"""
- name: Read what the models of this host say of themselves
  onprem.llm.model_shape:
    sources: "{{ llm_models | map(attribute='source') }}"
    hub_endpoint: "{{ llm_hub_url | default('') }}"
    registry_endpoint: "{{ llm_ollama_registry_url | default('') }}"
  register: found

- name: Tell what could not be read
  ansible.builtin.debug:
    msg: "{{ found.shapes | selectattr('reason') | map(attribute='reason') }}"
"""

RETURN = r"""
shapes:
  description: What each of O(sources) says, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: The source as it was given.
      type: str
    bytes:
      description:
        - Bytes of the files that an engine loads, which are the safetensors of a repository or folder, the GGUF, or the layers of a model
          of Ollama that are a model, a projector or an adapter. Null where unknown.
      type: int
      sample: 98362432
    gguf:
      description:
        - Key-values of the header of a GGUF, under the names that they have there (C(general.architecture), C(llama.block_count),
          C(llama.attention.head_count_kv) and so on), as far as they are numbers, texts of 256 bytes at most, or lists of 1024 numbers at
          most.
        - C(tokenizer.ggml.tokens) is the length of the vocabulary, and C(general.file_type) is in words.
        - Null where the model is no GGUF, or it could not be read.
      type: dict
      sample:
        general.architecture: llama
        general.file_type: Q4_1
        llama.attention.head_count: 9
        llama.attention.head_count_kv: 3
        llama.block_count: 30
        tokenizer.ggml.tokens: 49152
    tensors:
      description: What the table of tensors of a GGUF tells. Null where the model is no GGUF, or it could not be read.
      type: dict
      contains:
        parameters:
          description: How many values there are in all.
          type: int
        output:
          description: Whether the output has a matrix of its own, and does not share that of the input.
          type: bool
        vision_parameters:
          description: How many of the values see pictures.
          type: int
    config:
      description:
        - The C(config.json) of a repository or folder with safetensors, of 1 MiB at most. Infinities in it are null.
        - Null where there is none, or it could not be read.
      type: dict
      sample:
        model_type: llama
        num_hidden_layers: 30
    reason:
      description: Why something is not known, in words. Null where all is.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.model_shape import SHAPE_SPEC, servers_of, shapes_of


def main() -> None:
    """Look and tell."""
    module = AnsibleModule(argument_spec=SHAPE_SPEC, supports_check_mode=True)
    try:
        shapes = shapes_of(module.params["sources"], servers_of(module.params))
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, shapes=shapes)


if __name__ == "__main__":
    main()
