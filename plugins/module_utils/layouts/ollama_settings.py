# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person says about a model besides its weights, checked before Ollama meets it.

Ollama takes any of it when a model is laid out and fails at the first question instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import is_text, shown

# The options of Ollama (api/types.go) by type. Others pass: newer versions may know them.
OPTIONS: dict[str, str] = {
    **dict.fromkeys(
        ("num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread"),
        "whole number",
    ),
    **dict.fromkeys(("top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"), "number"),
    "draft_num_predict": "whole number",
    "use_mmap": "boolean",
    "stop": "list of texts",
}
LONGEST_TEXT = 1 << 20
# Templates that go by a name, byte for byte those of Ollama (template/*.gotmpl).
NAMED_TEMPLATES = {
    "chatml": "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
}


@dataclass(frozen=True)
class Settings:
    """Template, system prompt, licence and parameters of a model; empty where nothing is said."""

    template: str = ""
    system: str = ""
    license: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def checked_settings(template: str, system: str, license: str, parameters: Mapping[str, Any]) -> Settings:  # noqa: A002
    """Return the settings, or refuse what Ollama could not use."""
    template = NAMED_TEMPLATES.get(template, template)
    for what, text in (("template", template), ("system", system), ("license", license)):
        if "\0" in text or not is_text(text) or len(text.encode()) > LONGEST_TEXT:
            raise ModelError(f"{what} must be text of at most {LONGEST_TEXT} bytes without NUL and halves of characters: correct it.")
    if template.count("{{") != template.count("}}"):
        raise ModelError("template must be a Go template, but its '{{' and '}}' do not pair: correct it, and mark it '!unsafe' in YAML.")
    for name, value in parameters.items():
        _check_parameter(name, value)
    return Settings(template, system, license, dict(parameters))


def _check_parameter(name: Any, value: Any) -> None:
    if not isinstance(name, str) or not name or len(name) > 64:
        raise ModelError(f"A parameter's name must be a short text, but it is {shown(str(name))}: use one that a Modelfile knows.")
    wanted = OPTIONS.get(name)
    found = _type_of(value)
    if found == wanted or (wanted == "number" and found == "whole number") or (wanted is None and found):
        return
    expected = f"a {wanted}" if wanted else "a number, a boolean, a text or a list of texts"
    raise ModelError(f"The parameter {name} must be {expected}, but it is {shown(str(value))} of another type: correct it.")


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "whole number"
    if isinstance(value, float):
        # Not a number, or without end: JSON cannot say it.
        return "number" if value - value == 0 else ""
    if isinstance(value, str):
        return "text"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "list of texts"
    return ""
