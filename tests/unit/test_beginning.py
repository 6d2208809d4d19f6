"""The beginning of a remote file: the bytes are right whatever a server does, and no more of them come than are wanted."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.beginning import MOST_READ, Beginning
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client
from tests.unit.helpers.site import BIG, MIB, QUICK, REPO, SIZE, Site


def beginning(site: Site, *, limit: int = MOST_READ, size: int = SIZE, access: Access = QUICK) -> Beginning:
    access = replace(access, endpoint=site.up.hub_url)
    ref = as_source(f"hf:{REPO}@{site.commit}")
    assert isinstance(ref, HubRef)
    return Beginning(HubSource(ref, access), replace(site.blob(BIG), size=size), Client(access), limit)


@pytest.mark.parametrize(
    "fault",
    [
        "",
        "ignore-range",
        "chunked",
        "drop:after=400000,times=2",
        "truncate:after=70000,times=2",
        "status:code=503,times=2",
        "hangup:times=1",
        "expire-links:requests=1",
        "status:code=403,server=cdn,times=1",
        "lie:by=-1000,times=1",
    ],
)
def test_the_bytes_are_right(site: Site, fault: str) -> None:
    if fault:
        site.up.faults.add(fault)
    chance, position = random.Random(20261128), 0  # noqa: S311
    with beginning(site, limit=2 * SIZE) as stream:
        while position < SIZE:
            # Mostly short steps, and some that leave a part, or the file.
            wanted = chance.choice([1, 8, 300, 70_000, 2 * MIB])
            assert stream.read(wanted) == site.data[position : position + wanted]
            position += wanted
            position += chance.choice([0, 0, 5, 100_000, 3 * MIB])
            if position < SIZE:
                assert stream.seek(position) == position


@pytest.mark.parametrize(("wanted", "most"), [(0, 0), (1, MIB), (MIB, MIB), (MIB + 1, 5 * MIB), (5 * MIB + 1, 21 * MIB)])
def test_parts_grow(site: Site, wanted: int, most: int) -> None:
    with beginning(site) as stream:
        assert stream.read(wanted) == site.data[:wanted]
    ranges = [seen.range for seen in site.up.requests if seen.server == "cdn"]
    assert len(ranges) == (0 if not most else 1 if most == MIB else 2 if most == 5 * MIB else 3)
    assert site.sent <= most


@pytest.mark.parametrize("fault", ["", "ignore-range", "drop:after=600000"])
def test_a_limit_holds(site: Site, fault: str) -> None:
    if fault:
        site.up.faults.add(fault)
    limit = 2 * MIB
    with beginning(site, limit=limit, access=replace(QUICK, retries=9)) as stream:
        assert stream.read(MIB) == site.data[:MIB]
        with pytest.raises(ModelError, match="within its first 2097152 bytes"):
            stream.read(2 * MIB)


def test_what_lies_far_behind_is_asked_for_alone(site: Site) -> None:
    with beginning(site, limit=2 * MIB) as stream:
        stream.read(8)
        stream.seek(SIZE - 8)
        assert stream.read(100) == site.data[-8:] and stream.read(1) == b""
    assert site.sent <= 2 * MIB


def test_a_file_of_another_size_is_refused(site: Site) -> None:
    with beginning(site, size=SIZE + 1) as stream, pytest.raises(ModelError, match=f"but it has {SIZE} bytes there"):
        stream.read(1)
