# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``model_info``: see ``module_utils/stock.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_info
short_description: Tell what models are on a host
version_added: 0.2.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Tells which models there are and for which program, how large they are, when their files were last verified, which files several
    models share, what no model uses, and how far unfinished downloads are.
  - Models that the store has noted are always told. Those that clients have put into their folders by themselves
    (C(ollama pull), C(hf download)) are told for the folders that are named.
  - A folder that is not there holds nothing, and none is made. Pulls and removals meanwhile are safe, as a file that
    vanishes counts as absent.
attributes:
  check_mode:
    support: full
    details:
      - Check mode does the same, but what O(verify) finds out is not remembered.
  diff_mode:
    support: N/A
    details:
      - Nothing is changed.
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  store:
    description: Folder of the store. It need not exist.
    type: path
    default: /var/lib/llm/store
  ollama_models_dir:
    description: Ollama's folder of models (C(OLLAMA_MODELS)).
    type: path
  vllm_models_dir:
    description: The folder of the models that M(onprem.llm.vllm_model) lays out.
    type: path
  cache_dir:
    description: The cache of C(huggingface_hub) (C(HF_HUB_CACHE)).
    type: path
  verify:
    description:
      - Whether to read every blob of the store and compare its sha256, which takes minutes for each 100 GB.
      - Damage is reported, and the next run of the module that laid the model out replaces the file. What is sound counts as verified
        from now on, for O(onprem.llm.hub_model#module:verify_days) too.
    type: bool
    default: false
seealso:
  - module: onprem.llm.hub_model
  - module: onprem.llm.ollama_model
  - module: onprem.llm.vllm_model
  - module: onprem.llm.store_garbage
"""

EXAMPLES = r"""
- name: Tell what is there
  onprem.llm.model_info:
    ollama_models_dir: /var/lib/llm/ollama/models
    vllm_models_dir: /var/lib/llm/vllm/models
    cache_dir: /var/lib/llm/hub
  register: found

- name: Read everything once a month, and fail where a disk has rotted
  onprem.llm.model_info:
    verify: true
  register: found
  failed_when: found.damaged | length > 0
"""

RETURN = r"""
models:
  description: The models, in the order of their layouts and names.
  returned: success
  type: list
  elements: dict
  contains:
    layout:
      description: What reads it, V(ollama), V(hub), V(vllm), or another layout that the store has noted.
      type: str
    folder:
      description: The folder in which the layout lies.
      type: str
    name:
      description: Its name there. For the Hub the repository and its commit.
      type: str
      sample: org/name@0123456789abcdef0123456789abcdef01234567
    managed:
      description: Whether the store has noted it, that is, whether it was laid out by this collection.
      type: bool
    size:
      description: The bytes of its files, each once.
      type: int
    files:
      description: Its files. They are named by their digests where the layout does that, or where only the store is known.
      type: list
      elements: dict
      contains:
        name:
          description: The name of the file.
          type: str
        digest:
          description: Its sha256, empty where it was never read.
          type: str
        size:
          description: Its size in bytes.
          type: int
        verified:
          description: When all of it was last read and its digest was right, empty where that is unknown.
          type: str
          sample: "2026-11-25T20:30:00Z"
        shared_with:
          description: Which other models use the same file on disk.
          type: list
          elements: str
    missing:
      description: Digests of what belongs to it and is nowhere.
      type: list
      elements: str
stored:
  description: How much is in the store.
  returned: success
  type: dict
  contains:
    blobs:
      description: Number of blobs.
      type: int
    bytes:
      description: Their bytes.
      type: int
unused:
  description: Blobs that no name uses.
  returned: success
  type: list
  elements: dict
  contains:
    digest:
      description: The digest of the blob.
      type: str
    size:
      description: Its size in bytes.
      type: int
    linked_elsewhere:
      description: Whether a folder outside of the store has a hard link to it. Then removing it would free nothing, and it is kept.
      type: bool
unused_bytes:
  description: How many bytes M(onprem.llm.store_garbage) could free, those of blobs that came lately included.
  returned: success
  type: int
partial:
  description: Unfinished downloads, which the next run of their model goes on with.
  returned: success
  type: list
  elements: dict
  contains:
    blob:
      description: What is fetched, the sha256, or C(git-) and the sha1 by which git knows it.
      type: str
    size:
      description: Its size in bytes.
      type: int
    arrived:
      description: How many bytes of it need not be fetched again.
      type: int
    disk:
      description: How many bytes of disk it takes.
      type: int
    changed:
      description: When it last grew.
      type: str
damaged:
  description: A sentence for each file that is not what its name says. Empty unless O(verify=true).
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.stock import Stock
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

ARGUMENT_SPEC: dict[str, Any] = {
    "store": {"type": "path", "default": "/var/lib/llm/store"},
    "ollama_models_dir": {"type": "path"},
    "vllm_models_dir": {"type": "path"},
    "cache_dir": {"type": "path"},
    "verify": {"type": "bool", "default": False},
}
FOLDERS = {"ollama": "ollama_models_dir", "vllm": "vllm_models_dir", "hub": "cache_dir"}


def main() -> None:
    """Look and tell."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        stock = Stock(Store(host_folder(module.params["store"], "store")))
        for layout, option in FOLDERS.items():
            if module.params[option]:
                stock.add(layout, host_folder(module.params[option], option))
        if module.params["verify"]:
            stock.verify()
            if not module.check_mode:
                stock.remember()
        found = stock.describe()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for sentence in found["damaged"]:
        module.warn(sentence)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
