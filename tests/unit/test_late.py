"""Filters that are imported late must be there when they are called, and loading their files must import nothing of them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.late import function_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.onprem.llm.plugins"
FILES = sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", FILES)
def test_every_filter_is_there(name: str) -> None:
    for filter_name, function in import_module(f"{PACKAGE}.filter.{name}").FilterModule().filters().items():
        target = getattr(function, "__wrapped__", function)
        found = function_of(*target.args) if isinstance(target, partial) else target
        assert callable(found), filter_name
        assert (ROOT / "plugins" / "filter" / f"{filter_name}.yml").is_file()


def test_loading_the_files_imports_nothing_heavy() -> None:
    program = "import importlib, sys\nbefore = set(sys.modules)\n"
    program += "".join(f"importlib.import_module('{PACKAGE}.filter.{name}').FilterModule().filters()\n" for name in FILES)
    program += "print(*[name for name in set(sys.modules) - before if 'plugin_utils.' in name or name == 'cryptography'])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ".collections"}, cwd=ROOT
    )
    assert set(done.stdout.split()) == {f"{PACKAGE}.plugin_utils.late", f"{PACKAGE}.plugin_utils.artefacts"}
