# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for models say alike."""

from __future__ import annotations

from textwrap import indent

STATE = r"""
state:
  description: Whether the engine shall have the model.
  type: str
  choices: [present, absent]
  default: present
update:
  description:
    - Follow a branch or tag that moved upstream. Upstream is asked in every run then.
    - Without it a model that is there stays as it is, see C(check_upstream).
  type: bool
  default: false
"""

PLACES = r"""
store:
  description: Folder of the store. It is made if it does not exist.
  type: path
  default: /var/lib/llm/store
verify_days:
  description:
    - Hash what lies in the store again if that was done more than so many days ago. Without it, only what has changed since.
  type: int
check_upstream:
  description:
    - Ask upstream whether the branch or tag of a model that is there has moved, one request for each, and warn if so.
    - What is pinned, by a commit or by C(sha256), is never asked about. Where upstream does not answer, there is a warning and the model
      stays.
  type: bool
  default: false
owner:
  description:
    - Who owns what is made for the engine, a name or number. What lies in the store stays with whoever owns it there, readable to all.
  type: str
group:
  description: The group of the same, a name or number.
  type: str
"""

OLLAMA_ENTRY = r"""
name:
  description:
    - What clients ask for, C([namespace/]model[:tag]), as Ollama accepts it. Without a tag V(latest) is meant.
  type: str
  required: true
source:
  description:
    - Where the model comes from. Required if O(state=present).
    - V(file:/absolute/path) is a GGUF file on the managed host. It is only read. A truncated file, a LoRA adapter, a projector and a part
      of a split model are refused. With O(sha256), the file may be gone once the store holds it.
    - V(ollama:[host/][namespace/]model[:tag]) is a model of a registry. Its manifest is laid out as it is, so that Ollama shows the same ID
      as upstream, unless settings are given here, which then take the place of those layers.
    - V(hf:org/name[@revision]#file.gguf) is a GGUF file of Hugging Face's Hub. Split files are refused, projectors (C(mmproj)) left out.
    - Where a file on the host may not change behind the store's back (owned by the user that runs the module, writable to nobody else,
      readable to all) and lies on the store's file system, it becomes a blob by a hard link, else by a copy. Editing such a
      file in place changes the blob too. The next run notices by size, time and content, and then takes the new
      content in, or fails where O(sha256) says otherwise. Replace files by renaming new ones over them.
  type: str
sha256:
  description:
    - The digest that the GGUF file must have, 64 hexadecimal digits, alone or after V(sha256:). For a source V(ollama:) it is that of
      the manifest, which Ollama shows as the ID, and it pins the model.
  type: str
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
    - They are laid over those that a model of a registry brings.
  type: dict
  default: {}
"""

OLLAMA_PLACES = r"""
models_dir:
  description: Ollama's model folder (E(OLLAMA_MODELS)). It is made if it does not exist.
  type: path
  required: true
url:
  description:
    - Address of the server. If it runs and has a model in memory whose weights are replaced or removed, it is told to unload it.
    - Empty, or no server there, is no error.
  type: str
  default: ""
"""


def options(*parts: str) -> str:
    """Return the options of a module."""
    return "options:\n" + indent("".join(parts), "  ")


class ModuleDocFragment:
    """Fragments ``onprem.llm.model``, ``onprem.llm.model.ollama`` and ``onprem.llm.model.ollama_models``."""

    # Annotated, for ansible-test takes the value of a plain assignment for a literal.
    DOCUMENTATION: str = options(STATE, PLACES)
    OLLAMA: str = options(STATE, OLLAMA_ENTRY, PLACES, OLLAMA_PLACES)
    OLLAMA_MODELS: str = options(
        PLACES,
        OLLAMA_PLACES,
        "models:\n"
        "  description: The models, each with the options of M(onprem.llm.ollama_model) that are its own.\n"
        "  type: list\n"
        "  elements: dict\n"
        "  required: true\n"
        "  suboptions:\n",
        indent((STATE + OLLAMA_ENTRY).replace("O(", "O(models[]."), "    "),
        indent(
            "endpoint:\n"
            "  description: Takes the place of O(endpoint) for this model.\n"
            "  type: str\n"
            "token:\n"
            "  description: Takes the place of O(token) for this model.\n"
            "  type: str\n",
            "    ",
        ),
    )
