"""What goes wrong on the host during a whole pull: what docs/transfers.md says is seen and fetched again, and nothing wrong is laid out."""

from __future__ import annotations

import itertools
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.transfer import journal
from ansible_collections.onprem.llm.plugins.modules import hub_model, ollama_model, ollama_models
from tests.standin_upstream import Upstream, add_ollama_model
from tests.unit.helpers.fault_page import Row, happens
from tests.unit.helpers.gguf_writer import Tensor, gguf_bytes
from tests.unit.helpers.rot import rot
from tests.unit.helpers.site import CHUNK, REPO, SIZE, digest_of, git_of
from tests.unit.helpers.small_disk import small_disk
from tests.unit.helpers.stored import common_folder, common_user
from tests.unit.helpers.whole_pull import TOTAL, WholePull, goes_on, kill, until

Call = Callable[..., dict[str, Any]]


def break_off(pull: WholePull) -> None:
    """Leave a pull of which four pieces have arrived."""
    pull.up.faults.add("status:code=404,server=cdn,skip=4")
    assert "not there" in pull.run(workers=1)["msg"]
    pull.up.faults.clear()
    assert pull.arrived == 4 * CHUNK


@happens("a power cut")
def test_a_power_cut(pull: WholePull, row: Row, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stands for one: what the journal does not call synced is gone, and the machine was started anew."""
    process = pull.process(rate_limit="8M", workers=1)
    until(lambda: pull.journal.exists() and b'"synced"' in pull.journal.read_bytes())
    synced = pull.arrived
    until(lambda: pull.arrived > synced)
    kill(process)
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(journal, "BOOT_ID", tmp_path / "boot")
    assert CHUNK <= pull.arrived <= synced
    with pull.unfinished.open("r+b") as stream:
        for offset in {n * CHUNK for n in range(6)} - set(journal.read_journal(pull.journal).pieces):
            stream.seek(offset)
            stream.write(bytes(CHUNK))
    goes_on(pull, row, workers=1)


def tear_journal(pull: WholePull) -> None:
    pull.journal.write_bytes(pull.journal.read_bytes()[:-70])


def tear_piece(pull: WholePull) -> None:
    os.truncate(pull.unfinished, 4 * CHUNK - 5000)
    os.truncate(pull.unfinished, SIZE)


@happens("the end of the journal is torn")
def test_a_torn_journal(pull: WholePull, row: Row) -> None:
    break_off(pull)
    tear_journal(pull)
    goes_on(pull, row)


@happens("the last piece is torn")
def test_a_torn_piece(pull: WholePull, row: Row) -> None:
    break_off(pull)
    tear_piece(pull)
    pull.run()
    assert pull.sent == TOTAL + row.again


@happens("a byte of an unfinished file is flipped")
def test_a_flipped_byte_of_an_unfinished_file(pull: WholePull, row: Row) -> None:
    break_off(pull)
    rot(pull.unfinished, CHUNK + 12345)
    assert row.is_told_by(pull.run())
    assert pull.sent == TOTAL + row.again


@happens("a byte of a stored file is flipped")
def test_a_flipped_byte_of_a_stored_file(pull: WholePull, row: Row) -> None:
    pull.run()
    rot(pull.stored, CHUNK + 12345)
    result = goes_on(pull, row, verify_days=0)
    assert result["bytes_fetched"] == row.again and not pull.run(verify_days=0)["changed"]


@happens("a stored file is cut short")
def test_a_stored_file_that_is_cut_short(pull: WholePull, row: Row) -> None:
    pull.run()
    pull.stored.chmod(0o644)
    os.truncate(pull.stored, SIZE - 1)
    result = goes_on(pull, row)
    assert result["bytes_fetched"] == row.again and not pull.run()["changed"]


@happens("a stored file is damaged, and upstream is gone")
def test_damage_and_no_upstream(pull: WholePull, row: Row) -> None:
    commit = pull.run()["commit"]
    rot(pull.stored, CHUNK + 12345)
    pull.up.stop()
    result = pull.call_module(hub_model, {**pull.params, "source": f"hf:{REPO}@{commit}", "verify_days": 0})
    assert row.is_told_by(result), result
    pull.up.start()
    assert pull.run(verify_days=0)["bytes_fetched"] == CHUNK
    assert pull.sent - TOTAL - CHUNK == row.again


@happens("a run of another user than root breaks off after a small file has arrived")
def test_another_user_than_root(pull: WholePull, row: Row) -> None:
    pull.folder = common_folder(pull.folder / "theirs")
    # It arrives wrong, and then not at all.
    for spec in ("flip:at=2,times=1", "status:code=404,skip=1"):
        pull.up.faults.add(f"{spec},path=*/config.json")
    assert "not there" in json.loads(pull.process(*common_user(), workers=1).communicate(timeout=60)[0])["msg"]
    pull.up.faults.clear()
    pull.check(laid_out=False)
    assert [stat.S_IMODE(path.stat().st_mode) for path in pull.unfinished.parent.glob("git-*.data")] == [0o444]
    result = json.loads(pull.process(*common_user()).communicate(timeout=60)[0])
    assert row.is_told_by({"warnings": [], **result}), result
    pull.check(laid_out=True)
    assert pull.sent - TOTAL <= row.again
    assert pull.folder.stat().st_uid == pull.stored.stat().st_uid


@pytest.mark.parametrize("upstream", [True, False])
def test_an_empty_file_that_only_root_may_read(pull: WholePull, upstream: bool) -> None:
    """As earlier versions left it: a run that may write makes it one for all, without upstream too."""
    commit = pull.run()["commit"]
    for path in (pull.store.blob_path(digest_of(b"")), pull.cache / "blobs" / git_of(b"")):
        path.chmod(0o600)
    if not upstream:
        pull.up.stop()
    for check in (True, False):
        result = pull.call_module(hub_model, {**pull.params, "source": f"hf:{REPO}@{commit}"}, check=check)
        assert result["changed"] and result["bytes_fetched"] == 0, result
        assert [warning for warning in result["warnings"] if "a mode by which not everybody may read it" in warning]
    if not upstream:
        pull.up.start()
    pull.check(laid_out=True)
    assert not pull.run()["changed"] and pull.sent == TOTAL


@pytest.mark.parametrize("damage", ["flipped", "cut short"])
def test_the_other_modules_tell_of_damage_and_mend_it(call_module: Call, tmp_path: Path, damage: str) -> None:
    """A file of Ollama's, in pieces."""
    add_ollama_model(tmp_path / "up", "tiny:1b", gguf_bytes(tensors=[Tensor(shape=(1024, 1200), kind=0)]))
    with Upstream(tmp_path / "up") as up:
        model = {"name": "tiny", "source": "ollama:tiny:1b", "endpoint": up.registry_url}
        places = {"store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models"), "verify_days": 0}
        first = call_module(ollama_model, {**places, **model})
        path = tmp_path / "models" / "blobs" / first["digest"].replace(":", "-")
        size = path.stat().st_size
        rot(path, 2000) if damage == "flipped" else os.truncate(path, CHUNK + 5)
        for check in (True, False):
            result = call_module(ollama_models, {**places, "models": [model]}, check=check)
            assert [warning for warning in result["warnings"] if "is damaged" in warning] and result["changed"]
            assert result["bytes_fetched"] == (CHUNK if damage == "flipped" else size - CHUNK)
        assert f"sha256-{digest_of(path.read_bytes())}" == path.name
        assert not call_module(ollama_model, {**places, **model})["changed"]


@happens("the disk is too small")
def test_a_small_disk(pull: WholePull, row: Row) -> None:
    with small_disk(pull.folder / "disk", "20m") as disk:
        pull.folder = disk.folder
        for check in (True, False):
            assert row.is_told_by(pull.run(check=check))
        assert pull.sent == row.again
        disk.remount("size=64m")
        pull.run()


@happens("the disk fills up meanwhile")
def test_a_disk_that_fills_up(pull: WholePull, row: Row) -> None:
    with small_disk(pull.folder / "disk", "64m") as disk:
        pull.folder = disk.folder
        process = pull.process(rate_limit="16M", workers=1)
        until(lambda: pull.pieces >= 2)
        filler = disk.fill()
        assert row.is_told_by(json.loads(process.communicate(timeout=20)[0]))
        pull.check(laid_out=False)
        filler.unlink()
        assert pull.arrived >= 2 * CHUNK and pull.run()
        assert pull.sent - TOTAL <= row.allows(1)


@happens("the disk is read-only")
def test_a_disk_that_cannot_be_written(pull: WholePull, row: Row) -> None:
    with small_disk(pull.folder / "disk", "64m") as disk:
        pull.folder = disk.folder
        disk.remount("ro")
        assert row.is_told_by(pull.run())
        assert pull.sent == row.again
        disk.remount("rw")
        pull.run()
        disk.remount("ro")
        assert not pull.run()["changed"]


@happens("the file system takes no file as large")
def test_a_limit_of_the_size_of_files(pull: WholePull, row: Row) -> None:
    process = pull.process("bash", "-c", 'ulimit -f 10240; exec "$@"', "-")
    assert row.is_told_by(json.loads(process.communicate(timeout=20)[0]))
    pull.check(laid_out=False)
    pull.run()
    assert pull.sent - TOTAL <= row.allows()


@happens("two pulls at once")
def test_two_pulls_at_once(pull: WholePull, row: Row) -> None:
    processes = [pull.process() for _each in range(2)]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    pull.check(laid_out=True)
    assert all(row.is_told_by({"warnings": [], **result}) for result in results)
    assert sum(result["bytes_fetched"] for result in results) == pull.sent == TOTAL + row.again


@happens("the clock jumps")
def test_a_clock_that_jumps(pull: WholePull, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the clock, which is the whole machine's: it goes back ten years and forth again whenever it is read."""
    break_off(pull)
    now, years = time.time(), itertools.cycle([-10, 0, 10, 5])
    monkeypatch.setattr("time.time", lambda: now + next(years) * 365 * 86400)
    goes_on(pull, row)
    assert not pull.run(verify_days=1)["changed"] and pull.sent == TOTAL
