"""Pulls that are killed at any point: the next one goes on, fetches what docs/transfers.md says again, and nothing wrong is laid out."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.modules import hub_model
from tests.standin_upstream import Upstream
from tests.unit.helpers.fault_page import Row, happens
from tests.unit.helpers.killed_steps import killed_steps
from tests.unit.helpers.site import CHUNK, REPO, SIZE, digest_of, git_of
from tests.unit.helpers.whole_pull import TOTAL, WholePull, goes_on, kill, until

Call = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(("pieces", "workers"), [(0, 3), (1, 1), (3, 3), (5, 1)])
@happens("kill -9 while files are fetched")
def test_a_killed_pull(pull: WholePull, row: Row, pieces: int, workers: int) -> None:
    process = pull.process(rate_limit="16M", workers=workers)
    until(lambda: pull.unfinished.exists() and pull.pieces >= pieces)
    kill(process)
    pull.check(laid_out=False)
    # Where one connection helped another at the end, pieces are smaller.
    assert pull.arrived >= min(pieces, 3 if workers > 1 else 5) * CHUNK
    goes_on(pull, row, workers=workers)


@happens("two pulls at once, of which one is killed")
def test_two_pulls_at_once_of_which_one_is_killed(pull: WholePull, row: Row) -> None:
    # Slow, so that it is stopped half way also where the machine has much else to do.
    first = pull.process(rate_limit="5M", workers=1)
    until(lambda: pull.pieces >= 2)
    # Stopped, it holds the file for as long as the second takes to want it.
    first.send_signal(signal.SIGSTOP)
    second = pull.process(workers=1)
    until(lambda: sum("/tree/" in seen.path for seen in pull.up.requests) == 2)
    kill(first)
    result = json.loads(second.communicate(timeout=60)[0])
    pull.check(laid_out=True)
    assert row.is_told_by({"warnings": [], **result}) and 0 < result["bytes_fetched"] < SIZE
    assert pull.sent - TOTAL <= row.allows(1)


@pytest.fixture
def small(call_module: Call, tmp_path: Path) -> Iterator[WholePull]:
    """Pull a small repository, many times."""
    (tmp_path / "up" / "hub" / REPO).mkdir(parents=True)
    for name, data in SMALL_FILES.items():
        (tmp_path / "up" / "hub" / REPO / name).write_bytes(data)
    with Upstream(tmp_path / "up") as up:
        yield WholePull(call_module, up, tmp_path)


SMALL_FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000, "tokenizer.json": b'{"version": "1.0"}'}


@happens("kill -9 while the model is laid out")
def test_a_layout_that_is_killed_before_each_of_its_steps(small: WholePull, row: Row) -> None:
    small.run()
    asked = small.sent
    with killed_steps(hub_model) as steps:
        for step in itertools.count():
            small.cache_dir = f"hub-{step}"
            if not steps.run(small.params, step):
                break
            small.check(laid_out=False)
            result = small.run()
            assert row.is_told_by(result) and result["bytes_fetched"] == row.again
    assert step > 20 and small.sent == asked


@happens("kill -9 while files are fetched")
def test_a_pull_that_is_killed_before_its_steps(small: WholePull, row: Row) -> None:
    folder, total = small.folder, sum(map(len, SMALL_FILES.values()))
    with killed_steps(hub_model) as steps:
        # Of about a hundred, each third.
        for step in itertools.count(0, 3):
            small.folder = folder / str(step)
            if not steps.run(small.params, step):
                break
            small.check(laid_out=False)
            there = {path.name for path in small.folder.glob("store/blobs/**/*") if path.is_file()}
            result = small.run()
            assert row.is_told_by(result)
            assert result["bytes_fetched"] == total - sum(len(data) for data in SMALL_FILES.values() if names_of(data) <= there)
    assert step > 50


def names_of(data: bytes) -> set[str]:
    """Return the names that the store needs of a file: git's too where the repository knows it by that."""
    return {digest_of(data)} if data == SMALL_FILES["model.safetensors"] else {digest_of(data), git_of(data)}
