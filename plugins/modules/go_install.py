# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module ``go_install``: see ``module_utils/go_build.py``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: go_install
short_description: Build a program from a Go module
version_added: 0.1.0
author: onprem.llm contributors (@onprem-llm)
description:
  - Builds one program with C(go install), as a network needs that reaches package registries only.
  - The hash of the module is checked before anything is built. The program appears at O(dest) as a whole or not at all.
  - Two callers at once build once. The second waits and finds the program. Usually runs on the controller (C(delegate_to=localhost)).
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - onprem.llm.attributes
options:
  package:
    description: Import path of the program, such as V(github.com/ollama/ollama).
    type: str
    required: true
  version:
    description: Version of the module, such as V(v0.34.4).
    type: str
    required: true
  sum:
    description:
      - Hash of the module as in C(go.sum), starting with C(h1:).
      - Without it only Go's checksum database, or whatever E(GOSUMDB) names, judges the bytes.
    type: str
    default: ""
  ldflags:
    description: Flags for the linker, one string.
    type: str
    default: ""
  cgo_cflags:
    description:
      - Flags for the C compiler, in E(CGO_CFLAGS) and E(CGO_CXXFLAGS).
      - V(-O1) instead of Go's own V(-O2) halves the time the bundled SQLite takes.
    type: str
    default: -O1
  dest:
    description: Path of the program. A stamp and a lock lie beside it.
    type: path
    required: true
  go:
    description: The Go client, a name in E(PATH) or a path.
    type: str
    default: go
  cache_dir:
    description: Directory of Go's module and build caches.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Build Ollama on the controller
  onprem.llm.go_install:
    package: github.com/ollama/ollama
    version: v0.34.4
    sum: "h1:o7So45nFInmKbWj8O8I5NWuoeRYxoupkLA0hnQ+N60s="
    ldflags: -s -w -X github.com/ollama/ollama/version.Version=0.34.4
    dest: ~/.cache/onprem-llm/ollama/0.34.4/ollama
    cache_dir: ~/.cache/onprem-llm/go
  delegate_to: localhost
"""

RETURN = r"""
dest:
  description: Path of the program.
  returned: success
  type: str
  sample: /home/me/.cache/onprem-llm/ollama/0.34.4/ollama
glibc:
  description: The newest version of the GNU C library whose symbols the program asks for; V(0) if it is not there or asks for none.
  returned: success
  type: str
  sample: "2.34"
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.onprem.llm.plugins.module_utils.go_build import GoError, Program, Toolchain, Wish, glibc_needed

ARGUMENT_SPEC: dict[str, Any] = {
    "package": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "sum": {"type": "str", "default": ""},
    "ldflags": {"type": "str", "default": ""},
    "cgo_cflags": {"type": "str", "default": "-O1"},
    "dest": {"type": "path", "required": True},
    "go": {"type": "str", "default": "go"},
    "cache_dir": {"type": "path", "required": True},
}


def main() -> None:
    """Decide, then act."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    wish = Wish(**{name: params[name] for name in ("package", "version", "sum", "ldflags", "cgo_cflags")})
    program = Program(Path(params["dest"]))
    toolchain = Toolchain(params["go"], Path(params["cache_dir"]))
    changed = False
    try:
        if module.check_mode:
            changed = not program.fits(wish)
            if changed:
                toolchain.check()
        else:
            with program.locked():
                changed = not program.fits(wish)
                if changed:
                    toolchain.build(wish, program)
    except GoError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The program {program.path} could not be put in place: {error}. Check the rights and the free space there.")
    module.exit_json(changed=changed, dest=str(program.path), glibc=glibc_needed(program.path) if program.path.exists() else "0")


if __name__ == "__main__":
    main()
