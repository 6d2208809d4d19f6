"""What the program that asks an installed vLLM for its options makes of an argparse parser."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles" / "vllm" / "files" / "arguments.py"
SPEC = importlib.util.spec_from_file_location("vllm_arguments_program", PROGRAM)
assert SPEC is not None and SPEC.loader is not None
program = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(program)


def size(text: str) -> int:
    """Read a size as vLLM's human_readable_int does."""
    found = re.fullmatch(r"(\d+)([kKmMgG]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(text)
    return int(float(found[1]) * 1000.0 ** " kmg".index(found[2].lower() or " "))


@pytest.mark.parametrize(
    ("convert", "kind"),
    [(None, "text"), (str, "text"), (int, "whole number"), (float, "number"), (json.loads, "mapping"), (size, "size")],
)
def test_what_an_option_takes_is_found_by_trying(convert: Callable[[str], Any] | None, kind: str) -> None:
    assert program.kind(convert) == kind


def test_how_options_are_described() -> None:
    parser = argparse.ArgumentParser()
    flag = parser.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction)
    choice = parser.add_argument("--dtype", choices=["float16", "auto", None])
    many = parser.add_argument("--sizes", type=int, nargs="+")
    appended = parser.add_argument("--middleware", action="append")
    assert program.described(flag) == {"kind": "boolean"}
    assert program.described(choice) == {"kind": "text", "choices": ["auto", "float16"]}
    assert program.described(many) == {"kind": "whole number", "many": True}
    assert program.described(appended) == {"kind": "text", "many": True}
