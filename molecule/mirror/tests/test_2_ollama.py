"""Real Ollama, which came from the mirror itself: what the module has laid out, and what ``ollama pull`` fetches."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from conftest import ADDRESS, CLIENT, ROOT_OF_TREE, URL, Client, Mirror, fill
from molecule_client import module

from tools.testbed.clients import path_of

OLLAMA = "/opt/ollama/current/bin/ollama"
QUESTION = "What is the capital of France?"
PYTHON = f"import ollama; print(ollama.generate('smollm2-135m', {QUESTION!r}, options={{'temperature': 0}}).response)"


def digest(mirror: Mirror, tag: str) -> str:
    """Return by what upstream knows a model: the hash of its manifest."""
    return hashlib.sha256(mirror.host.file(f"/srv/upstream/ollama/library/capital/{tag}").content).hexdigest()


def listed(client: Client) -> dict[str, dict[str, Any]]:
    """Return the models of the server by name."""
    return {model["name"]: model for model in client.json("curl", "-sS", "http://127.0.0.1:11434/api/tags")["models"]}


def test_the_module_has_laid_out_the_model_of_upstream(client: Client, mirror: Mirror) -> None:
    assert listed(client)["smollm2-135m:latest"]["digest"] == digest(mirror, "1")
    assert digest(mirror, "1")[:12] in client.run(OLLAMA, "list")
    shown = client.json("curl", "-sS", "http://127.0.0.1:11434/api/show", "-d", '{"model": "smollm2-135m"}')
    assert shown["details"]["quantization_level"] == "Q4_1" and "im_start" in shown["template"] and "Apache" in shown["license"]


def test_with_and_without_latest_it_is_one_model(client: Client) -> None:
    assert client.run(OLLAMA, "show", "smollm2-135m") == client.run(OLLAMA, "show", "smollm2-135m:latest")
    assert [name for name in listed(client) if "smollm2" in name] == ["smollm2-135m:latest"]


def test_clients_of_ollama_get_answers(client: Client) -> None:
    assert "Paris" in client.run(OLLAMA, "run", "smollm2-135m", QUESTION)
    assert "Paris" in client.run(f"{path_of('ollama')}/bin/python", "-c", PYTHON)


def test_what_the_module_lays_out_is_there_without_a_restart(client: Client, mirror: Mirror) -> None:
    pid = client.run("systemctl", "show", "ollama.service", "-p", "MainPID", "--value")
    laid = {"name": "beside", "models_dir": "/var/lib/llm/ollama/models", "store": "/var/lib/llm/store"}
    assert module(CLIENT, "onprem.llm.ollama_model", source="ollama:capital:2", endpoint=URL, **laid)["changed"]
    assert listed(client)["beside:latest"]["digest"] == digest(mirror, "2")
    assert "Paris" in client.run(OLLAMA, "run", "beside", QUESTION)
    assert module(CLIENT, "onprem.llm.ollama_model", state="absent", **laid)["changed"]
    assert "beside:latest" not in listed(client)
    assert client.run("systemctl", "show", "ollama.service", "-p", "MainPID", "--value") == pid != "0\n"


def test_pull_over_tls(client: Client, mirror: Mirror) -> None:
    line = next(line for line in mirror.lines("ollama") if line.endswith("capital:2"))
    name = f"{ADDRESS}/library/capital:2"
    with mirror.watched() as log:
        client.type(line.replace("ollama pull", f"{OLLAMA} pull"))
    size = listed(client)[name]["size"]
    assert sum(request.bytes for request in log.files) >= size > 98_000_000
    assert listed(client)[name]["digest"] == digest(mirror, "2")
    assert "Paris" in client.run(OLLAMA, "run", name, QUESTION)
    with mirror.watched() as log:
        client.run(OLLAMA, "pull", name)
    assert not log.files
    client.run(OLLAMA, "rm", name)


@pytest.fixture
def plain(mirror: Mirror) -> Any:
    """Let the mirror speak http for a while, to the local host and the closed network."""
    fill("--tags", "mirror_configure,mirror_service,mirror_index", mirror_tls_mode="none", mirror_port=8080)
    yield mirror
    fill("--tags", "mirror_configure,mirror_service,mirror_index")


def test_pull_over_http(client: Client, plain: Mirror) -> None:
    line = next(line for line in plain.lines("ollama") if line.endswith("capital:2"))
    assert "--insecure" in line
    client.type(line.replace("ollama pull", f"{OLLAMA} pull"))
    name = f"{ADDRESS.partition(':')[0]}:8080/library/capital:2"
    assert listed(client)[name]["digest"] == digest(plain, "2")
    client.run(OLLAMA, "rm", name)


def test_a_tag_that_is_not_there(client: Client) -> None:
    said = client.run(OLLAMA, "pull", f"{ADDRESS}/library/capital:none", fails=True)
    assert "file does not exist" in said


def test_a_damaged_blob_is_refused(client: Client, mirror: Mirror) -> None:
    manifest = client.json("curl", "-sS", f"https://{ADDRESS}/v2/library/capital/manifests/2")
    weights = next(layer["digest"].partition(":")[2] for layer in manifest["layers"] if layer["mediaType"].endswith("model"))
    blob = f"{ROOT_OF_TREE}/blobs/sha256/{weights[:2]}/{weights}"
    byte = f"dd if={blob} bs=1 skip=1000000 count=1 status=none | od -An -tx1"
    before = mirror.host.check_output(byte).strip()
    write = f"dd of={blob} bs=1 seek=1000000 conv=notrunc status=none"
    mirror.host.check_output(f"printf '\\{'001' if before != '01' else '002'}' | {write}")
    said = client.run(OLLAMA, "pull", f"{ADDRESS}/library/capital:2", fails=True)
    mirror.host.check_output(f"printf '\\{int(before, 16):03o}' | {write}")
    assert "digest mismatch" in said
    assert f"{ADDRESS}/library/capital:2" not in listed(client)
