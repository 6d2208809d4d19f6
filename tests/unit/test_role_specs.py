"""Every role's defaults and its argument specification say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir() if path.is_dir())
TYPES = {"str": str, "path": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_specification_agree(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml")
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    documented: dict[str, Any] = {}
    for entry_point, spec in specs.items():
        assert spec.get("short_description") and spec.get("description"), f"{entry_point} is not described"
        documented |= spec.get("options", {})
        for name, option in spec.get("options", {}).items():
            assert option.get("description") and option.get("type"), f"{entry_point}: {name} has no description or no type"
            assert ("default" in option) == (name in defaults), f"{entry_point}: {name} has a default in one file only"
            assert option.get("default") == defaults.get(name), f"{entry_point}: {name} has two defaults"
            assert name in defaults or "required" in option, f"{entry_point}: {name} has no default, so say required: true or false"
    assert not set(defaults) - set(documented), "defaults without documentation"

    plain = {name: value for name, value in defaults.items() if value is not None and "{{" not in str(value)}
    for name, value in plain.items():
        kind = documented[name]["type"]
        # A bool is an int to Python, but not to a reader.
        assert kind not in TYPES or (isinstance(value, TYPES[kind]) and isinstance(value, bool) == (kind == "bool")), (
            f"{name}: {value!r} is no {kind}"
        )
    checked = ArgumentSpecValidator({name: documented[name] for name in plain}).validate(plain)
    assert not checked.error_messages
