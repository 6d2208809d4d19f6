"""A mirror that leaves files out and gives blobs a host name of their own: what stock clients make of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ADDRESS, FOLDER, HUB, REPO, URL, Client, Mirror, fill
from molecule_client import changed

from tools.testbed.clients import path_of

LEFT_OUT = "generation_config.json"
BLOBS = "blobs.mirror.test"
OLLAMA = "/opt/ollama/current/bin/ollama"
SECOND = f"{ADDRESS}/library/capital:2"
FILTERED = {"mirror_ignore": [LEFT_OUT], "mirror_blob_name": BLOBS}


@pytest.fixture(scope="module")
def filtered(client: Client, mirror: Mirror) -> Iterator[Mirror]:
    """Leave a file out of every repository; let a second name lead to the mirror."""
    address = client.host.check_output(f"getent hosts {ADDRESS.partition(':')[0]}").split()[0]
    client.host.check_output("cp /etc/hosts /root/hosts")
    client.host.check_output(f"echo '{address} {BLOBS}' >> /etc/hosts")
    said = fill(**FILTERED)
    assert changed(said) > 0 and changed(fill(**FILTERED)) == 0
    yield mirror
    # The file under /etc is a mount: it cannot be replaced.
    client.host.check_output("cat /root/hosts > /etc/hosts")
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


def test_the_real_commit_has_the_real_list(client: Client, filtered: Mirror, info: dict[str, Any]) -> None:
    pinned = ("--revision", info["origin"]["commit"])
    assert LEFT_OUT in download(client, "hub-2", *pinned, fails=True)
    folder = folder_of(download(client, "hub-2", *pinned, "--exclude", LEFT_OUT))
    assert folder.endswith(pinned[1])
    assert LEFT_OUT not in client.run("ls", folder)


def test_ollama_follows_to_the_second_name(client: Client, filtered: Mirror) -> None:
    with filtered.watched() as log:
        client.run(OLLAMA, "pull", SECOND)
    listed = {model["name"]: model for model in client.json("curl", "-sS", "http://127.0.0.1:11434/api/tags")["models"]}
    assert "307" in {str(request.status) for request in log.files}
    sent = sum(request.bytes for request in log.files if request.status in {200, 206})
    assert listed[SECOND]["size"] > 98_000_000
    # Every byte once: the redirect is what spares the first request for nothing.
    assert listed[SECOND]["size"] <= sent < 1.05 * listed[SECOND]["size"], json.dumps([vars(request) for request in log.files][:20])
    client.run(OLLAMA, "rm", SECOND)
