# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``ollama_models``: see ``module_utils/layouts/ollama_plan.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_models
short_description: Give Ollama many models at once
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Does for a list what M(onprem.llm.ollama_model) does for one model, in one go. All are planned before the first is touched, so that a
    model that cannot be had, or all of them together on too small a disk, changes nothing.
  - Models that are to be there come first, and those that are to be gone last, so that a model that gets another name keeps its files.
    A list that has a model twice is refused.
attributes:
  check_mode:
    support: full
    details:
      - A file that was never hashed before is read as a whole in check mode, and read again in the run that follows.
      - A source over the network is asked what it has, and nothing of it is fetched.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
  - onprem.llm.source
  - onprem.llm.model.ollama_models
seealso:
  - module: onprem.llm.ollama_model
"""

EXAMPLES = r"""
- name: Give Ollama the models of the list
  onprem.llm.ollama_models:
    models:
      - name: qwen2.5:7b
        source: ollama:qwen2.5:7b
      - name: smollm2
        source: file:/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf
        parameters: {temperature: 0}
      - name: old
        state: absent
    models_dir: /var/lib/llm/ollama/models
    url: http://127.0.0.1:11434
    owner: llm
    group: llm
"""

RETURN = r"""
models:
  description: For each model, in the order of the list, what M(onprem.llm.ollama_model) returns.
  returned: success
  type: list
  elements: dict
actions:
  description: What was done, or would be done in check mode, in this order.
  returned: success
  type: list
  elements: str
bytes_copied:
  description: How many bytes were written for all models. Zero where hard links did.
  returned: success
  type: int
  sample: 0
bytes_fetched:
  description: How many bytes came over the network for all models, in check mode how many would.
  returned: success
  type: int
  sample: 0
needs:
  description: What has to be written for all models, see RV(onprem.llm.ollama_model#module:needs).
  returned: in check mode
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_batch import carried_out_all, plan_all, shown_all
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_params import ENTRY, PLACES, store_of
from ansible_collections.onprem.llm.plugins.module_utils.model_module import REQUIRED_IF

ENTRY_OPTIONS: dict[str, Any] = {**ENTRY, "endpoint": {"type": "str"}, "token": {"type": "str", "no_log": True}}
ARGUMENT_SPEC: dict[str, Any] = {
    "models": {"type": "list", "elements": "dict", "required": True, "options": ENTRY_OPTIONS, "required_if": REQUIRED_IF},
    **PLACES,
}


def main() -> None:
    """Decide on all, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    check = module.check_mode
    try:
        entries = plan_all(module.params, store_of(module.params), check=check)
        result = shown_all(entries) if check else carried_out_all(entries, module.log)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
