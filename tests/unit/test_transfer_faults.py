"""What goes wrong on the wire: each time the right file or one sentence, a count of bytes, and never a wrong file in the store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job, Transfer
from tests.standin_upstream import Upstream
from tests.unit.helpers.site import BIG, CHUNK, MIB, QUICK, SIZE, SMALL, Site, digest_of, git_of

ON_CDN = "server=cdn"


def test_all_is_well(site: Site) -> None:
    assert site.fetch(BIG, SMALL, "empty.txt", access=Access(workers=1)) == SIZE + 23
    assert site.has_big and site.partials == [] and site.sent == SIZE + 23
    from_cdn = [seen for seen in site.up.requests if seen.server == "cdn"]
    assert sorted(seen.range for seen in from_cdn) == sorted(f"bytes={n * CHUNK}-{(n + 1) * CHUNK - 1}" for n in range(6))
    # The token stays with the hub, and after the first answer If-Range says which state of the file is meant.
    assert not any(seen.authorized for seen in from_cdn) and site.opened == 2
    assert [bool(seen.if_range) for seen in sorted(from_cdn, key=lambda seen: seen.time)].count(False) == 1
    assert site.store.git_digest(git_of(site.content(SMALL)), 23) == digest_of(site.content(SMALL))
    assert site.store.git_digest(git_of(b""), 0) == digest_of(b"")
    assert site.fetch(BIG, SMALL, "empty.txt") == 0 and site.sent == SIZE + 23


def test_a_stream_goes_on_where_it_broke(site: Site) -> None:
    """A server without ranges sends all again, but what was there before is not written again."""
    site.up.faults.add(f"ignore-range:{ON_CDN}")
    site.up.faults.add(f"truncate:after=10000000,times=2,{ON_CDN}")
    assert site.fetch() == SIZE + 2 * 10_000_000
    assert site.has_big


def test_a_token_that_expires_half_way(site: Site, content: tuple[Path, bytes], tmp_path: Path) -> None:
    with Upstream(content[0], registry_auth=True, blobs="plain") as up:
        other = Site(up, Store(str(tmp_path / "store")), content[1])
        up.faults.add("expire-token:requests=2")
        assert other.run([other.registry_job()]) == SIZE
        assert 3 <= other.opened <= 6
        up.faults.clear()
        up.faults.add("expire-token:requests=0")
        other.store = Store(str(tmp_path / "other"))
        with pytest.raises(ModelError, match=r"application/vnd.ollama.image.model was to be fetched .* access was denied \(401\)"):
            other.run([other.registry_job()])


def test_patience_that_the_server_asks_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(
        "ansible_collections.onprem.llm.plugins.module_utils.transfer.worker.pause", lambda seconds, _stop: waits.append(seconds)
    )
    site.up.faults.add(f"status:code=429,retry_after=7,times=1,{ON_CDN}")
    site.up.faults.add(f"status:code=503,retry_after=100000,times=1,skip=2,{ON_CDN}")
    site.fetch()
    assert len(waits) == 2 and 7 <= waits[0] < 8 and 120 <= waits[1] < 121


def test_a_small_file(site: Site) -> None:
    for spec in ("truncate:after=5,skip=1,times=1", "flip:at=2,skip=1,times=1", "status:code=500,times=1"):
        site.up.faults.add(f"{spec},path=*.json")
    assert site.fetch(SMALL) == 5 + 23 + 23
    site.up.faults.add("flip:path=*.json")
    name = SMALL
    with pytest.raises(ModelError, match=r"config.json arrived with the git sha1 \w{40}, also when begun anew, but \w{40} was expected"):
        Site(site.up, Store(str(site.store.root) + "2"), site.data).fetch(name)


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"Content-Encoding": "gzip"}, r"was sent with Content-Encoding 'gzip', but the plain file was asked for"),
        ({"Location": "/elsewhere"}, ""),
        ({"X": "1"}, ""),
    ],
)
def test_headers_of_a_small_answer(site: Site, headers: dict[str, str], sentence: str) -> None:
    site.up.replies["/x"] = (200, headers, b"hello")
    job = Job(RemoteBlob("x", 5, sha256=digest_of(b"hello")), lambda: Origin(f"{site.up.hub_url}/x"))
    if sentence:
        with pytest.raises(ModelError, match=sentence):
            site.run([job])
    else:
        assert site.run([job]) == 5


def test_an_empty_file_is_for_all_to_read(site: Site) -> None:
    site.fetch("empty.txt")
    assert {oct(path.stat().st_mode)[-3:] for path in (site.store.root / "blobs").rglob("*") if path.is_file()} == {"444"}


def test_no_bytes_in_the_list_and_the_digest_of_some(site: Site) -> None:
    job = Job(RemoteBlob("x\n", 0, sha256=digest_of(b"hello")), lambda: Origin(f"{site.up.hub_url}/x"))
    expected = rf"x\\n has 0 bytes and the sha256 {digest_of(b'hello')} in the list of its model, but that of no bytes is {digest_of(b'')}"
    with pytest.raises(ModelError, match=expected):
        Transfer([site.job(), job], site.store, QUICK, print)


def test_another_size_than_the_list_says(site: Site) -> None:
    site.up.replies["/x"] = (200, {}, b"hello!")
    job = Job(RemoteBlob("x", 5, sha256=digest_of(b"hello")), lambda: Origin(f"{site.up.hub_url}/x"))
    with pytest.raises(ModelError, match=r"x should have 5 bytes that stay the same, but it has 6 bytes there, also when begun anew"):
        site.run([job])


def test_without_a_digest_nothing_is_fetched(site: Site) -> None:
    with pytest.raises(ModelError, match="x has no digest in the list of its model"):
        site.run([Job(RemoteBlob("x", 5), lambda: Origin(""))])


def test_two_pulls_at_once(site: Site) -> None:
    """The second waits for the first, then finds the file."""
    site.up.faults.add(f"slow:rate=30000000,{ON_CDN}")
    came: list[int] = []
    second = Site(site.up, Store(str(site.store.root)), site.data)
    threads = [threading.Thread(target=lambda each=each: came.append(each.fetch())) for each in (site, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(came) == [0, SIZE] and site.partials == []


def test_the_same_content_under_two_names_comes_once(site: Site) -> None:
    twice = Job(RemoteBlob("copy", SIZE, sha256=digest_of(site.data)), site.job().open)
    assert site.run([site.job(), twice]) == SIZE


def test_a_clock_that_jumps(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(10**9, 0, -86400))
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    assert site.fetch() == SIZE and site.has_big


def test_a_limit_of_the_rate(site: Site) -> None:
    import time

    started = time.monotonic()
    site.fetch(access=Access(workers=3, rate_limit=20 * MIB, timeout=1.0))
    assert 0.9 * SIZE / (20 * MIB) - 0.3 < time.monotonic() - started < 30
