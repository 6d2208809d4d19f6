"""What clients of a mirror are told of a repository, and which list is which commit."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import large_files, part_of, release_of, release_of_files
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_case import ALL, JSON_ONLY, REPO, release
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_upstream import FILES, FIRST, SECOND, hub_manifest, sha256


def test_what_the_api_answers() -> None:
    found = release()
    info = json.loads(found.info())
    assert (info["id"], info["sha"]) == (REPO, FIRST)
    assert {entry["rfilename"] for entry in info["siblings"]} == set(FILES)
    lists = {folder: tuple(json.loads(data) for data in pair) for folder, pair in found.lists().items()}
    assert set(lists) == {"", "sub", "sub/deep"}
    rec, flat = lists[""]
    assert {entry["path"] for entry in rec} == {*FILES, "sub", "sub/deep"}
    assert {entry["path"] for entry in flat} == {".gitattributes", "config.json", "model.safetensors", "empty.txt", "sub"}
    assert [entry["path"] for entry in lists["sub"][1]] == ["sub/deep"]
    assert [entry["path"] for entry in lists["sub"][0]] == ["sub/deep", "sub/deep/notes+1 x.txt"]
    assert {entry["path"]: entry["oid"] for entry in rec}["sub"] == "c" * 40
    weights = next(entry for entry in rec if entry["path"] == "model.safetensors")
    assert weights["lfs"]["oid"] == sha256(FILES["model.safetensors"])
    assert "xetHash" not in json.dumps(rec) and "lastCommit" not in json.dumps(rec)


def test_another_list_is_another_commit() -> None:
    whole, some, same = release(), release(wanted=JSON_ONLY), release(wanted=Wanted(allow=("conf*",)))
    assert whole.commit == FIRST and not whole.is_filtered
    assert some.is_filtered and re.fullmatch("[0-9a-f]{40}", some.commit) and some.commit != FIRST
    assert some.commit == same.commit, "the same files of the same commit are the same list"
    assert release(SECOND, JSON_ONLY).commit != some.commit
    assert json.loads(some.info())["origin"] == {"commit": FIRST, "allow": ["*.json"]}
    assert release(wanted=Wanted(ignore=("nothing",))).commit == FIRST, "a choice that leaves out nothing is none"


def test_files_of_a_folder_are_a_repository() -> None:
    blobs = [RemoteBlob("config.json", 2, sha256(b"{}")), RemoteBlob("model.safetensors", 7, sha256(b"weights"))]
    found = release_of_files(REPO, blobs)
    assert found.commit == release_of_files(REPO, blobs[::-1]).commit != release_of_files("org/other", blobs).commit
    assert found.files == {"config.json": sha256(b"{}"), "model.safetensors": sha256(b"weights")}
    assert not found.is_filtered


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"error": "x"}', b'[{"type": "file"}]'])
def test_a_list_that_is_none(data: bytes) -> None:
    manifest = replace(hub_manifest(HubRef(REPO), FIRST), data=data)
    with pytest.raises(ModelError, match="is not what the Hub answers"):
        release_of(manifest, REPO, ALL, {})


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a//b", "a/../b", "a\nb", "a\\b", ".git/config"])
def test_a_listing_may_not_choose_where_we_write(name: str) -> None:
    with pytest.raises(ModelError, match="names the file"):
        release(files={name: b"x"})


@pytest.mark.parametrize("name", ["a#b.txt", "a%20b.txt", "what?/b.txt"])
@pytest.mark.parametrize("chosen", [JSON_ONLY, Wanted(file="config.json"), Wanted(ignore=("a*", "what*"))])
def test_a_name_that_is_not_served_may_be_left_out(name: str, chosen: Wanted) -> None:
    files = {**FILES, name: b"x"}
    manifest = hub_manifest(HubRef(REPO), FIRST, files)
    with pytest.raises(ModelError, match="leave it out by 'ignore'"):
        release_of(manifest, REPO, ALL, {})
    with pytest.raises(ModelError, match="leave it out by 'ignore'"):
        part_of(manifest, REPO, ALL)
    assert name not in release_of(manifest, REPO, chosen, {}).files
    part = part_of(manifest, REPO, chosen)
    assert name not in part.files and any(entry["path"] == name for entry in part.entries), "the real list is whole"


def test_files_that_clients_refuse_are_named() -> None:
    assert large_files([RemoteBlob("small", 50_000_000_000)]) == []
    assert "module hub_model" in large_files([RemoteBlob("large.gguf", 50_000_000_001)])[0]
