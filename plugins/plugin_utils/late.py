# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that are imported when they are first called.

Ansible forks a process for each task of a host, and the first filter of a collection that a process meets makes it load all
files of filters (ansible-core, ``Jinja2Loader.get_with_context``). So what a filter needs is imported by its call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any


def late(module: str, *names: str) -> dict[str, Callable[..., Any]]:
    """Return the functions ``names`` of the file ``module`` of ``plugin_utils``, by name, without importing it."""
    return {name: partial(_call, module, name) for name in names}


def function_of(module: str, name: str) -> Callable[..., Any]:
    """Import the file and return the function."""
    found: Callable[..., Any] = getattr(import_module(f"{__package__}.{module}"), name)
    return found


def _call(module: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
    return function_of(module, name)(*args, **kwargs)
