"""The tables of docs/transfers.md and the tests name the same faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit import test_fault_matrix, test_fault_matrix_host, test_fault_matrix_kill
from tests.unit.helpers.fault_page import TESTED, Row, rows


def test_each_row_is_tested_and_each_test_has_its_row() -> None:
    assert test_fault_matrix and test_fault_matrix_host and test_fault_matrix_kill
    assert set(rows()) == TESTED


@pytest.mark.parametrize(
    ("seen", "result", "told"),
    [
        ("nothing", {"warnings": []}, True),
        ("nothing", {"warnings": ["x"]}, False),
        ("nothing", {"warnings": [], "msg": "x"}, False),
        ("`a (1) ... c.`", {"warnings": [], "msg": "Then a (1) b c."}, True),
        ("`a (1) ... c.`", {"warnings": ["a (1) b c."]}, True),
        ("`a (1) ... c.`", {"warnings": [], "msg": "a (1) b c. More."}, False),
        ("`a (1) ... c.`", {"warnings": []}, False),
        ("`a ...`", {"warnings": [], "msg": "a (1) b c. More."}, True),
        ("something", {"warnings": []}, False),
    ],
)
def test_what_the_page_says_is_looked_for(seen: str, result: Mapping[str, Any], told: bool) -> None:
    assert Row("x", seen, 0).is_told_by(result) is told
