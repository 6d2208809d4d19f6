"""The planner against measurements: on the whole table where it lies beside the checkout, else on the rows that are kept here."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from tools.planner_errors.__main__ import BESIDE, PAGE, main, page
from tools.planner_errors.predict import NotPredictedError, find, predict
from tools.planner_errors.report import GROUPS, grouped, listing, missed, results_of, summary
from tools.planner_errors.rows import COLUMNS, Row, TableError, read_rows

KEPT = Path(__file__).parent / "fixtures" / "planner" / "measurements.csv"
TABLE = BESIDE if BESIDE.is_file() else KEPT
ROWS = read_rows(TABLE)


def test_every_goal_is_reached() -> None:
    results = results_of(ROWS)
    assert missed(results) == []
    judged = {group.name for group, _members in grouped(results) if group.reached}
    assert judged == {group.name for group in GROUPS if group.reached}


def test_nothing_of_good_quality_is_left_out() -> None:
    assert [result.reason for result in results_of(ROWS) if result.predicted is None and result.row.quality in "AB"] == []


@pytest.mark.parametrize("path", {KEPT, TABLE}, ids=lambda path: str(path.name))
def test_the_measured_value_is_never_looked_at(path: Path) -> None:
    rows = read_rows(path)
    for row in rows:
        try:
            found = predict(row, rows)
        except NotPredictedError:
            continue
        changed = dataclasses.replace(row, value=row.value * 3)
        others = [changed if other is row else other for other in rows]
        assert predict(changed, others) == found, row


def test_a_goal_can_be_missed() -> None:
    rows = read_rows(KEPT)
    # The pool that a log names is what its number of tokens is computed from.
    doubled = [row if row.quantity == "kv_available" else dataclasses.replace(row, value=row.value * 2) for row in rows]
    assert missed(results_of(doubled)) == [group.name for group in GROUPS if group.reached]


def test_the_page_is_what_the_command_writes() -> None:
    """Where only a part of the table is at hand, its rows must be on the page as they are computed now."""
    text = PAGE.read_text(encoding="utf-8")
    if TABLE is BESIDE:
        assert text == page(results_of(ROWS)), "run 'make planner-errors WRITE=1'"
    for line in listing(results_of(read_rows(KEPT)))[2:]:
        assert line in text or line.startswith("| own"), "run 'make planner-errors WRITE=1'"


def row(**changes: str | float) -> Row:
    base = Row("x1", "qwen2.5:7b", "gguf-file", "q4_K_M", 0, "file_bytes", 4.68e9, "bytes", "A", "somewhere", "")
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "unknown:7b"}, "the model 'unknown:7b' is not in the catalogue"),
        ({"quantity": "tokens_per_second"}, "the planner has no formula for 'tokens_per_second'"),
        ({"quant": "iq2_xs"}, "The quantisation 'iq2_xs' is not known"),
        ({"quantity": "projector_graph"}, "the model has no vision tower"),
        ({"quantity": "kv_available", "engine": "vllm", "quant": "bf16"}, "does not say the GPU's memory"),
    ],
)
def test_what_is_not_predicted_is_listed_with_its_reason(changes: dict[str, str], reason: str) -> None:
    results = results_of([row(**changes)])
    assert reason in listing(results)[-1]
    assert "not predicted" in listing(results)[-1]
    assert "| 1 | 1 | - |" in summary(results)[-1]
    assert missed(results) == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("llama3:8b (= llama3.1:8b arch)", "llama3:8b"),
        ("new-tune (= llama3.1:8b arch)", "llama3.1:8b"),
        ("new-tune-13b (llama2 arch)", "llama2:13b"),
        ("orca-2-13b (llama2 arch)", "orca2:13b"),
        ("new-tune", ""),
    ],
)
def test_a_name_may_tell_the_architecture(name: str, wanted: str) -> None:
    found = find(name)
    assert (found.id if found else "") == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,model\n1,2\n", "must have the columns id, model, .*, but it has no engine"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=message):
        read_rows(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,qwen2.5:7b,e,q8_0,,file_bytes,many,bytes,A,s,n", "value and context must be numbers, but they are 'many' and ''"),
        ("1,qwen2.5:7b,e,q8_0,8K,file_bytes,1,bytes,A,s,n", "value and context must be numbers, but they are '1' and '8K'"),
        ("1,qwen2.5:7b,e,q8_0,,file_bytes,1,furlong,A,s,n", "the unit must be one of bytes"),
        ("1,qwen2.5:7b", "value and context must be numbers, but they are None and None"),
    ],
)
def test_a_row_that_cannot_be_read_is_listed(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{line}\n")
    assert reason in listing(results_of(read_rows(path)))[-1]


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read as a table"):
        read_rows(tmp_path / "none.csv")


def test_the_command_prints_the_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["planner_errors", str(KEPT)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "| gt004 | llama3.1:8b |" in printed
    assert printed.rstrip().endswith("planner-errors: all goals reached")


def test_without_a_table_it_says_what_to_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["planner_errors"])
    monkeypatch.setattr("tools.planner_errors.__main__.BESIDE", tmp_path / "none.csv")
    with pytest.raises(SystemExit, match="No table of measurements was given: run make planner-errors CSV=FILE"):
        main()


def test_make_has_the_target() -> None:
    root = Path(__file__).parents[2]
    said = subprocess.run(
        ["make", "--dry-run", "planner-errors", "CSV=a.csv", "WRITE=1"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "python3 -m tools.planner_errors a.csv --write" in said.stdout
