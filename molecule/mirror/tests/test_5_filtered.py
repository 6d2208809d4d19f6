"""A mirror that leaves files out: what stock clients make of it, by a branch and by the real commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import FOLDER, HUB, INPUTS, REPO, ROOT_OF_TREE, URL, Client, Mirror, fill
from molecule_client import changed

from tools.testbed.clients import path_of

LEFT_OUT = "generation_config.json"
MODELS = INPUTS["all"]["llm_models"]


@pytest.fixture(scope="module")
def filtered(mirror: Mirror) -> Iterator[Mirror]:
    """Leave a file out of every repository."""
    said = fill(mirror_ignore=[LEFT_OUT])
    assert changed(said) > 0 and changed(fill(mirror_ignore=[LEFT_OUT])) == 0
    yield mirror
    fill()


def download(client: Client, generation: str, *words: str, fails: bool = False) -> str:
    """Run ``hf download`` with a cache of its own; return what it says."""
    hf = f"{path_of(generation)}/bin/hf"
    return client.run(hf, "download", REPO, *words, fails=fails, HF_HOME=f"/root/filtered-{generation}", NO_COLOR="1", **HUB)


def folder_of(said: str) -> str:
    """Return the folder that ``hf download`` names last."""
    return next(line for line in reversed(said.splitlines()) if "/snapshots/" in line).rpartition(" ")[2]


@pytest.fixture(scope="module")
def info(client: Client, filtered: Mirror) -> dict[str, Any]:
    """Return what the mirror tells of the branch ``main``."""
    found: dict[str, Any] = client.json("curl", "-sS", f"{URL}/hf/api/models/{REPO}/revision/main")
    return found


@pytest.mark.parametrize("generation", ["hub-2", "hub-1", "hub-0"])
def test_the_branch_is_what_is_left(client: Client, filtered: Mirror, info: dict[str, Any], generation: str) -> None:
    folder = folder_of(download(client, generation))
    assert folder.endswith(info["sha"]) and info["sha"] != info["origin"]["commit"]
    files = set(client.run("ls", folder).split())
    assert files == set(client.run("ls", FOLDER).split()) - {LEFT_OUT}
    names = " ".join(sorted(files))
    sums = [client.host.check_output(f"cd {place} && sha256sum {names}") for place in (folder, FOLDER)]
    assert sums[0] == sums[1]
    with filtered.watched() as log:
        assert folder_of(download(client, generation)) == folder
    assert not log.files


@pytest.mark.parametrize("generation", ["hub-2", "hub-1"])
def test_its_cache_is_what_the_mirror_says(client: Client, filtered: Mirror, generation: str) -> None:
    hf = f"{path_of(generation)}/bin/hf"
    said = client.run(hf, "cache", "verify", REPO, HF_HOME=f"/root/filtered-{generation}", NO_COLOR="1", **HUB)
    assert "erified" in said and "mismatch" not in said.lower() and "missing" not in said.lower()


def test_a_commit_that_the_list_names_has_the_real_list(client: Client, filtered: Mirror, info: dict[str, Any]) -> None:
    commit = info["origin"]["commit"]
    pinned = [{**model, "source": f"hf:{REPO}@{commit}"} if model["engine"] == "vllm" else model for model in MODELS]
    before = filtered.host.check_output(f"find {ROOT_OF_TREE}/blobs/sha256 -type f").split()
    fill(mirror_ignore=[LEFT_OUT], mirror_models=pinned)
    # Clients that name no revision find the same as before.
    assert client.json("curl", "-sS", f"{URL}/hf/api/models/{REPO}/revision/main")["sha"] == info["sha"]
    assert sorted(filtered.host.check_output(f"find {ROOT_OF_TREE}/blobs/sha256 -type f").split()) == sorted(before)
    assert LEFT_OUT in download(client, "hub-2", "--revision", commit, fails=True)
    folder = folder_of(download(client, "hub-2", "--revision", commit, "--exclude", LEFT_OUT))
    assert folder.endswith(commit)
    assert LEFT_OUT not in client.run("ls", folder)
    assert changed(fill(mirror_ignore=[LEFT_OUT], mirror_models=pinned)) == 0
