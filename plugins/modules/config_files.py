# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``config_files``: see ``module_utils/config_files.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Put a set of configuration files in place as a whole
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Writes all files of a configuration, lets the service that reads them judge the whole, and puts the files from before back
    if it refuses. So a broken configuration is never left for the next restart to find.
  - The files belong to the user that runs the module. Missing folders above them are made, with mode V(0755).
  - Folders that must belong to somebody else, or be closed, are named in O(folders). They are made before the files.
attributes:
  check_mode:
    support: full
    details:
      - O(test) judges files in place, so it does not run in check mode.
  diff_mode:
    support: full
    details:
      - Of O(private) files it is only told that they change.
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  contents:
    description: The text of each file, by its absolute path. It is kept out of logs.
    type: dict
    required: true
  private:
    description: The paths of O(contents) that nobody but the owner and O(private_group) may read. All others have mode V(0644).
    type: list
    elements: path
    default: []
  private_group:
    description:
      - The group of O(private) files, which may read them (V(0640)). Without it they have mode V(0600).
      - In check mode it may be missing; then the group of a file is not compared.
    type: str
  folders:
    description: Folders to have, in this order. Missing ones above are made alike; a link to a folder counts as the folder.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The absolute path.
        type: path
        required: true
      owner:
        description: The owner; as it is if not given. In check mode the account may be missing; then it is not compared.
        type: str
      group:
        description: The group, in the same way.
        type: str
      mode:
        description: The mode, as octal digits.
        type: str
        default: "0755"
  test:
    description:
      - A command, as a list of words, that ends with status 0 if the files are good. What it says otherwise becomes the error.
      - Runs only if a file has changed.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Configure a site
  onprem.llm.config_files:
    contents:
      /etc/nginx/conf.d/example.conf: "{{ lookup('ansible.builtin.template', 'example.conf.j2') }}"
      /etc/nginx/example.key: "{{ vault_example_key }}"
    private: [/etc/nginx/example.key]
    test: [nginx, -t]

- name: Configure a service that has an account of its own
  onprem.llm.config_files:
    folders:
      - {path: /var/lib/example, owner: example, group: example}
    contents:
      /etc/example/secrets.env: "{{ lookup('ansible.builtin.template', 'secrets.env.j2') }}"
    private: [/etc/example/secrets.env]
    private_group: example
"""

RETURN = r"""
changed_paths:
  description: The folders and files that were changed.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.config_files import Change, apply, plan, plan_folders
from ansible_collections.onprem.llm.plugins.module_utils.config_folders import FolderChange
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError

FOLDER: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str", "default": "0755"},
}
ARGUMENT_SPEC: dict[str, Any] = {
    "contents": {"type": "dict", "required": True, "no_log": True},
    "private": {"type": "list", "elements": "path", "default": []},
    "private_group": {"type": "str"},
    "folders": {"type": "list", "elements": "dict", "default": [], "options": FOLDER},
    "test": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)

    def test() -> str:
        """Return what the test complains about."""
        if not module.params["test"]:
            return ""
        status, out, err = module.run_command(module.params["test"])
        return "" if status == 0 else (err or out).strip() or f"nothing, but ended with status {status}"

    try:
        given, check = module.params, module.check_mode
        folders = plan_folders(given["folders"], check=check)
        files = plan(given["contents"], given["private"], given["private_group"], check=check)
        if (folders or files) and not check:
            apply(files, test if files else lambda: "", folders)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    changes: list[Change | FolderChange] = [*folders, *files]
    module.exit_json(
        changed=bool(changes),
        changed_paths=[str(change.path) for change in changes],
        diff=[{"prepared": change.diff()} for change in changes],
    )


if __name__ == "__main__":
    main()
