"""Stored files that a disk or somebody damaged: what is still right of them is not fetched again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.landing import chunks_path, read_chunks
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import bytes_arrived, try_lock
from ansible_collections.onprem.llm.plugins.module_utils.transfer.repair import bytes_missing, salvage
from tests.unit.helpers.site import BIG, CHUNK, SIZE, SMALL, Site, digest_of


@pytest.fixture
def site(site: Site) -> Site:
    """Give one whose files are in the store."""
    site.fetch(access=Access(workers=1))
    return site


def stored(site: Site) -> Path:
    path = site.store.blob_path(digest_of(site.data))
    path.chmod(0o644)
    return path


def is_damaged(site: Site) -> bool:
    return not site.store.holds(digest_of(site.data), SIZE, verify=True)


def write_at(offset: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("r+b") as stream:
            stream.seek(offset)
            stream.write(b"\0" * 4)

    return write


DAMAGE = [
    (write_at(CHUNK + 1), 1),
    (write_at(2 * CHUNK - 2), 2),
    (lambda path: os.truncate(path, SIZE - 10), 1),
    (lambda path: os.truncate(path, 0), 6),
    (lambda path: path.write_bytes(b"x" + path.read_bytes()), 6),
    (lambda path: path.open("ab").write(b"more"), 0),
    (Path.unlink, 6),
]


@pytest.mark.parametrize(("damage", "wrong"), DAMAGE)
def test_only_pieces_that_are_wrong_are_fetched(site: Site, damage: Callable[[Path], None], wrong: int) -> None:
    path = stored(site)
    laid_out = path.with_suffix(".link")
    os.link(path, laid_out)
    damage(path)
    assert is_damaged(site) and bytes_missing(site.store, site.blob(BIG)) == wrong * CHUNK
    salvage(site.store, site.blob(BIG))
    assert bytes_missing(site.store, site.blob(BIG)) == wrong * CHUNK
    laid_out.unlink()
    assert site.fetch() == wrong * CHUNK and site.partials == []
    assert path.read_bytes() == site.data and path.stat().st_mode & 0o777 == 0o444
    assert Store(str(site.store.root)).holds(digest_of(site.data), SIZE, verify=True)


@pytest.mark.parametrize(
    "listed",
    [
        "{",
        '{"crc": [[0]]}',
        '{"crc": [["a", 5, 1], [-5, 9, 1]]}',
        '{"crc": [[0, 100, "x"]]}',
        '{"crc": [[0, 100, 1], [50, 100, 2]]}',
        # As it was written before pieces were told by their CRC-32.
        f'{{"size": {SIZE}, "pieces": [[0, {SIZE}, "{"0" * 64}"]]}}',
    ],
)
def test_a_list_of_pieces_that_is_damaged_too(site: Site, listed: str) -> None:
    os.truncate(stored(site), SIZE - 1)
    chunks_path(site.store, digest_of(site.data)).write_text(listed)
    salvage(site.store, site.blob(BIG))
    assert site.partials == [] and site.fetch() == SIZE and site.has_big


def test_a_piece_that_is_lost_after_it_was_found_right_is_not_believed(site: Site) -> None:
    os.truncate(stored(site), SIZE - 1)
    assert is_damaged(site) and bytes_missing(site.store, site.blob(BIG)) == CHUNK
    salvage(site.store, site.blob(BIG))
    write_at(CHUNK)(site.store.root / "partial" / f"{digest_of(site.data)}.data")
    stored(site).unlink()
    assert site.fetch() == 2 * CHUNK and site.has_big


def test_a_right_file_is_left_alone(site: Site) -> None:
    salvage(site.store, site.blob(BIG))
    assert site.partials == [] and len(read_chunks(site.store, digest_of(site.data))) == 6


def test_what_another_run_fetches_or_fetched_counts_more(site: Site) -> None:
    os.truncate(stored(site), SIZE - 1)
    assert is_damaged(site)
    held = try_lock(site.store, site.blob(BIG))
    assert held
    salvage(site.store, site.blob(BIG))
    assert bytes_arrived(site.store, site.blob(BIG)) == 0
    held.close()
    salvage(site.store, site.blob(BIG))
    there = bytes_arrived(site.store, site.blob(BIG))
    os.truncate(stored(site), CHUNK)
    salvage(site.store, site.blob(BIG))
    assert bytes_arrived(site.store, site.blob(BIG)) == there == SIZE - CHUNK
    stored(site).unlink()


def test_a_small_file_comes_whole(site: Site) -> None:
    site.fetch(SMALL)
    blob = site.blob(SMALL)
    path = site.store.git_path(blob.git_sha1)
    path.chmod(0o644)
    path.write_text("{}")
    assert site.store.git_digest(blob.git_sha1, 23) is None and bytes_missing(site.store, blob) == 23
    salvage(site.store, blob)
    assert site.fetch(SMALL) == 23 and path.read_bytes() == site.content(SMALL)
