# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``mirror_index``: see ``module_utils/mirror_page.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mirror_index
short_description: Write the page of a mirror for people
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Writes C(www/index.html) in the tree of a mirror. The page lists what the tree really holds, which is models for the clients of Hugging
    Face and Ollama, Python packages, artefacts and packages of distributions, with versions and sizes, and the lines by which each is had.
  - The page is one file. It loads nothing from elsewhere, has no scripts, and follows the reader's choice of light or dark.
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
  root:
    description: The mirror's tree.
    type: path
    required: true
  url:
    description: Address of the mirror as clients know it, scheme, host and perhaps port, without a path.
    type: str
    required: true
  private_ca:
    description: Whether clients must be told of the authority that signed the mirror's certificate. The page then says how.
    type: bool
    default: false
  title:
    description: Title of the page.
    type: str
    default: Model mirror
seealso:
  - module: onprem.llm.mirror_wheels
  - module: onprem.llm.mirror_files
"""

EXAMPLES = r"""
- name: Tell people what is there
  onprem.llm.mirror_index:
    root: /srv/llm-mirror
    url: https://mirror.example:8443
    private_ca: true
"""

RETURN = r"""
path:
  description: The page.
  returned: success
  type: str
  sample: /srv/llm-mirror/www/index.html
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.mirror_contents import read_contents
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import write_text
from ansible_collections.onprem.llm.plugins.module_utils.mirror_page import Place, page
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import without_secrets

ARGUMENT_SPEC: dict[str, Any] = {
    "root": {"type": "path", "required": True},
    "url": {"type": "str", "required": True},
    "private_ca": {"type": "bool", "default": False},
    "title": {"type": "str", "default": "Model mirror"},
}
URL = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    url = module.params["url"].rstrip("/")
    try:
        if not URL.fullmatch(url):
            raise ModelError(
                f"url must be like https://mirror.example:8443, but it is {shown(without_secrets(url))}: "
                f"leave out what comes behind host and port."
            )
        store = Store(host_folder(module.params["root"], "root"))
        path = store.root / "www" / "index.html"
        text = page(read_contents(store.root), Place(url, module.params["private_ca"]), module.params["title"])
        before = path.read_bytes() if path.is_file() else b""
        if before != text and not module.check_mode:
            with store.locked():
                write_text(store, path, text)
    except ModelError as exc:
        module.fail_json(msg=str(exc))
    diff = {"before_header": str(path), "after_header": str(path), "before": before.decode("utf-8", "replace"), "after": text.decode()}
    module.exit_json(changed=before != text, path=str(path), diff=diff)


if __name__ == "__main__":
    main()
