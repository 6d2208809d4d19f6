# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many layers attend to a sliding window only, where a model's files do not say which."""

from __future__ import annotations

# Of so many layers the last one is global (transformers configuration_gemma2.py, configuration_gemma3.py, configuration_gpt_oss.py,
# configuration_exaone4.py: sliding_window_pattern or layer_types).
PATTERNS = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "exaone4": 4}


def local_layers_of(kind: str, layers: int) -> int:
    """Return the number of layers with a window; none for kinds whose windows the engines ignore, such as Mistral's."""
    every = PATTERNS.get(kind)
    return layers - layers // every if every else 0
