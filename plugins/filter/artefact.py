# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over the artefact table: see ``plugin_utils/artefacts.py``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.onprem.llm.plugins.plugin_utils import artefacts


def _in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except artefacts.ArtefactError as error:
            raise AnsibleFilterError(str(error)) from error

    return wrapped


class FilterModule:
    """The filters over the artefact table."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "artefact": _in_words(artefacts.artefact),
            "artefact_way": _in_words(artefacts.way),
            "digest_in_sums": _in_words(artefacts.digest_in_sums),
            "go_module": _in_words(artefacts.go_module),
        }
