# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``service_ready``: see ``module_utils/service_wait.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_ready
short_description: Wait until a service answers, or fail with its own last words
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Asks an address until it answers with success. Gives up early where the service has ended or starts again and again.
  - The error begins with the line of the service's journal that names the cause, and ends with the last lines.
attributes:
  check_mode:
    support: none
    details:
      - Is skipped, for nothing was started.
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  unit:
    description: The systemd unit.
    type: str
    required: true
  url:
    description: The address on this host that answers once the service is ready. No proxy is used.
    type: str
    required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Wait until the model is loaded
  onprem.llm.service_ready:
    unit: vllm@smollm2-135m-vllm.service
    url: http://127.0.0.1:8000/health
    timeout: 600
"""

RETURN = r"""
seconds:
  description: How long it took.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.service_wait import wait

ARGUMENT_SPEC = {
    "unit": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 60},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=False)
    try:
        seconds = wait(module.params["unit"], module.params["url"], module.params["timeout"])
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, seconds=round(seconds, 1))


if __name__ == "__main__":
    main()
