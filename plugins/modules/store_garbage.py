# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``store_garbage``: see ``module_utils/store_garbage.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_garbage
short_description: Free what no model uses
version_added: 0.2.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Removes from a store the blobs that no name of any layout uses, unfinished downloads that were given up, and what is remembered of
    files that are gone. Removing a model frees its own blobs already, so this is for what killed runs and removed folders leave.
  - Blobs stay that came or were linked lately, as a pull may be about to use them, and those that a folder elsewhere
    has a hard link to. To remove these would free nothing.
  - Several runs at once, and pulls meanwhile, are safe.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  state:
    description: Garbage shall be gone.
    type: str
    choices: [absent]
    default: absent
  store:
    description: Folder of the store. It need not exist.
    type: path
    default: /var/lib/llm/store
  blob_days:
    description: How many days ago a blob must have come, or last been linked, before it can go.
    type: float
    default: 1
  partial_days:
    description:
      - How many days ago an unfinished download must have last grown before it can go, for until then it can be resumed.
      - As long, too, files outside of the store are remembered that are not there any more, as they may lie on a medium.
    type: float
    default: 14
seealso:
  - module: onprem.llm.model_info
"""

EXAMPLES = r"""
- name: Free what no model uses
  onprem.llm.store_garbage:

- name: Free everything that can be, on a host where nothing is being pulled
  onprem.llm.store_garbage:
    blob_days: 0
    partial_days: 0
"""

RETURN = r"""
bytes_freed:
  description: How many bytes of disk are free again, or would be in check mode.
  returned: success
  type: int
  sample: 4831838208
kept:
  description: Digests of blobs that no name uses, but a folder elsewhere has a hard link to.
  returned: success
  type: list
  elements: str
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
"""

import math
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.store import DAY, Store
from ansible_collections.onprem.llm.plugins.module_utils.store_garbage import Garbage, plan_collect

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["absent"], "default": "absent"},
    "store": {"type": "path", "default": "/var/lib/llm/store"},
    "blob_days": {"type": "float", "default": 1},
    "partial_days": {"type": "float", "default": 14},
}


def checked_days(params: dict[str, Any], name: str) -> float:
    """Accept a number of days that is not negative."""
    days = float(params[name])
    if math.isnan(days) or days < 0:
        raise ModelError(f"{name} must be a number of days, 0 or more, but it is {days}: correct it.")
    return days * DAY


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        store = Store(host_folder(module.params["store"], "store"))
        ages = {"min_age": checked_days(module.params, "blob_days"), "partial_age": checked_days(module.params, "partial_days")}
        garbage: Garbage = plan_collect(store, **ages)
        if garbage.actions and not module.check_mode:
            with store.locked():
                # What another run did while this one waited counts.
                garbage = plan_collect(store, **ages)
                garbage.apply()
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(
        changed=bool(garbage.actions),
        actions=garbage.actions,
        bytes_freed=garbage.size,
        kept=[f"sha256:{digest}" for digest in garbage.linked],
        diff=garbage.diff(),
    )


if __name__ == "__main__":
    main()
