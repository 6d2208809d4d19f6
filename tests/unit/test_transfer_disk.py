"""Runs that die, disks that fill up or rot, and what the next run makes of what is left."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.transfer import journal
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece, read_journal
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import bytes_arrived, bytes_held, idle, try_lock
from ansible_collections.onprem.llm.plugins.module_utils.transfer.repair import bytes_missing
from tests.unit.helpers.site import BIG, CHUNK, MIB, SIZE, Site, digest_of
from tests.unit.helpers.stored import common_folder, common_user, run_python


def journal_of(site: Site) -> Path:
    return site.store.root / "partial" / f"{digest_of(site.data)}.journal"


def data_of(site: Site) -> Path:
    return journal_of(site).with_suffix(".data")


def break_off(site: Site, pieces: int = 4) -> None:
    """Leave a file of which so many pieces have arrived."""
    site.up.faults.add(f"status:code=404,server=cdn,skip={pieces}")
    with pytest.raises(ModelError, match="not there"):
        site.fetch(access=Access(workers=1))
    site.up.faults.clear()
    assert len(read_journal(journal_of(site)).pieces) == pieces


def test_a_run_killed_at_its_very_end_asks_for_nothing(site: Site) -> None:
    process = site.process()
    data = data_of(site)
    partial = site.store.root / "partial"
    # Every piece has arrived, but the store cannot be locked.
    site.store.temp.mkdir(parents=True)
    with site.store.locked():
        until = time.monotonic() + 20
        while not (data.exists() and bytes_arrived(site.store, site.blob(BIG)) == SIZE) and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
        process.communicate(timeout=10)
    assert sorted(path.suffix for path in partial.iterdir()) == [".data", ".journal"]
    asked = len(site.up.requests)
    assert site.fetch() == 0 and site.has_big and len(site.up.requests) == asked


def test_a_run_that_fails_keeps_what_has_arrived_of_a_piece(site: Site) -> None:
    site.up.faults.add("truncate:after=1000000,server=cdn,skip=2")
    with pytest.raises(ModelError, match="too early"):
        site.fetch(access=Access(workers=1, retries=1, timeout=1.0))
    assert bytes_arrived(site.store, site.blob(BIG)) == 2 * CHUNK + 2 * 1_000_000
    site.up.faults.clear()
    assert site.fetch() == SIZE - 2 * CHUNK - 2_000_000 and site.has_big


def test_a_torn_journal_is_believed_up_to_the_tear(site: Site) -> None:
    break_off(site)
    journal_of(site).write_bytes(journal_of(site).read_bytes()[:-20])
    there = bytes_arrived(site.store, site.blob(BIG))
    assert there in {3 * CHUNK, 4 * CHUNK}
    assert site.fetch() == SIZE - there and site.has_big


@pytest.mark.parametrize("tear", [b"", b"\0" * 50, b"x" * 50, b"00000000 {}\n", b"ffff"])
def test_a_journal_with_a_foreign_end(site: Site, tear: bytes) -> None:
    break_off(site)
    journal_of(site).write_bytes(journal_of(site).read_bytes() + tear)
    assert site.fetch() == SIZE - 4 * CHUNK and site.has_big


@pytest.mark.parametrize("damage", ["zeros", "flip"])
def test_a_piece_that_a_power_cut_took_is_fetched_again(site: Site, damage: str) -> None:
    break_off(site)
    with data_of(site).open("r+b") as stream:
        stream.seek(2 * CHUNK + 1000)
        stream.write(bytes(4096) if damage == "zeros" else bytes([site.data[2 * CHUNK + 1000] ^ 1]))
    assert site.fetch() == SIZE - 3 * CHUNK and site.has_big


@pytest.mark.parametrize(("length", "there"), [(0, 0), (CHUNK + 5, 1), (3 * CHUNK, 3), (SIZE + 1, 0)])
def test_a_file_of_another_length_than_the_journal_thinks(site: Site, length: int, there: int) -> None:
    break_off(site)
    os.truncate(data_of(site), length)
    assert bytes_arrived(site.store, site.blob(BIG)) == there * CHUNK
    assert site.fetch() == SIZE - there * CHUNK and site.has_big


def test_a_file_that_is_gone(site: Site) -> None:
    break_off(site)
    data_of(site).unlink()
    assert site.fetch() == SIZE and site.has_big


def test_what_was_not_synced_before_the_machine_went_down(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a run all is synced; what a killed one noted since its last sync counts only while the machine stays up."""
    break_off(site)
    lines = journal_of(site).read_bytes().splitlines(keepends=True)
    unsynced = [line for line in lines if b"synced" not in line]
    monkeypatch.setattr(journal, "BOOT_ID", site.store.root / "lock")
    assert len(read_journal(journal_of(site)).pieces) == 4
    journal_of(site).write_bytes(b"".join(unsynced))
    assert read_journal(journal_of(site)).pieces == {}
    assert site.fetch() == SIZE


def test_another_state_of_the_file_upstream(site: Site) -> None:
    """The ETag of the journal is not the server's any more: nothing of it is used."""
    break_off(site)
    site.up.faults.add("etag:server=cdn")
    came = site.fetch()
    # The first answer is the whole file, which is not taken for what is missing.
    assert SIZE <= came <= SIZE + MIB and site.has_big


def test_a_journal_of_another_content_is_not_used(site: Site) -> None:
    break_off(site)
    text = journal_of(site).read_bytes().splitlines(keepends=True)
    text[0] = journal.sealed(b'{"content": "other 5"}')
    journal_of(site).write_bytes(b"".join(text))
    assert site.fetch() == SIZE and site.has_big


def test_what_is_left_of_a_run_that_failed_is_not_locked(site: Site) -> None:
    break_off(site)
    assert site.partials == [data_of(site).name, journal_of(site).name]
    assert bytes_held(site.store, site.blob(BIG)) == 4 * CHUNK
    with idle(data_of(site)) as is_idle:
        assert is_idle
    shutil.rmtree(site.store.root / "partial")
    assert site.fetch() == SIZE


def test_one_run_at_a_time_holds_a_file_and_removes_only_its_own(site: Site, tmp_path: Path) -> None:
    blob = site.blob(BIG)
    first = try_lock(site.store, blob)
    assert first and try_lock(site.store, blob) is None
    with idle(data_of(site)) as is_idle:
        assert not is_idle
    # The first one has become a blob: the name is free for another run.
    data_of(site).replace(tmp_path / "blob")
    second = try_lock(site.store, blob)
    assert second
    first.remove()
    first.close()
    assert data_of(site).exists() and (tmp_path / "blob").exists()
    second.remove()
    second.close()
    assert site.partials == []
    with idle(data_of(site)) as is_idle:
        assert not is_idle


SEAL = """
import sys
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import idle, try_lock
store, blob = Store(sys.argv[1]), RemoteBlob("x", 5, git_sha1="0" * 40)
first = try_lock(store, blob)
first.open(journaled=False)
first.write(memoryview(b"right"), 0)
first.seal()
assert try_lock(store, blob) is None, "another run has it in hand"
with idle(first.path) as is_idle:
    assert not is_idle
first.close()
with idle(first.path) as is_idle:
    assert is_idle
second = try_lock(store, blob)
second.open(journaled=False)
second.write(memoryview(b"again"), 0)
third = store.root / "third"
first.path.replace(third)
second.seal()
second.close()
assert third.read_bytes() == b"again" and third.stat().st_mode & 0o777 == 0o444
"""


def test_a_sealed_file_that_did_not_become_a_blob(tmp_path: Path) -> None:
    run = run_python(SEAL, str(common_folder(tmp_path / "store")), before=common_user())
    assert run.communicate(timeout=60)[1] == "" and run.returncode == 0


def test_a_journal_that_was_left_of_a_file_that_became_a_blob(site: Site) -> None:
    break_off(site)
    data_of(site).unlink()
    assert len(read_journal(journal_of(site)).pieces) == 4
    assert bytes_arrived(site.store, site.blob(BIG)) == bytes_missing(site.store, site.blob(BIG)) - SIZE == 0
    assert site.fetch() == SIZE and site.partials == []


def test_pieces_of_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    book = journal.Journal(path, "x 10")
    for offset in (0, 4, 8):
        book.note_piece(Piece(offset, 2, 7))
    book.note_etag('"e"')
    book.drop([4])
    book.note_synced(2)
    book.close()
    past = read_journal(path)
    assert (past.content, past.etag, sorted(past.pieces), past.noted) == ("x 10", '"e"', [0, 8], 3)
    again = journal.Journal(path, "x 10")
    assert sorted(again.pieces) == [0, 8] and again.etag == '"e"'
    again.restart()
    again.close()
    assert read_journal(path).pieces == {} and read_journal(tmp_path / "none").pieces == {}


def test_pieces_that_were_noted_with_a_sha256_are_fetched_again(tmp_path: Path) -> None:
    """A journal of an earlier version is read on, but only for what is still understood."""
    path = tmp_path / "x.journal"
    lines = [b'{"content": "x 10"}', b'{"etag": "\\"e\\""}', b'{"piece": [0, 2, "d"]}', b'{"synced": 1}', b'{"drop": 0}']
    path.write_bytes(b"".join(journal.sealed(line) for line in lines))
    book = journal.Journal(path, "x 10")
    assert book.pieces == {} and book.etag == '"e"'
    book.note_piece(Piece(4, 2, 7))
    book.close()
    assert sorted(read_journal(path).pieces) == [4]
