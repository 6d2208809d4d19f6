"""Three generations of ``hf download``, and transformers: the stock clients of the Hub."""

from __future__ import annotations

import pytest
from conftest import ADDRESS, CLIENT, HUB, REPO, Client, Mirror
from molecule_client import QUESTION

from tools.testbed.clients import path_of

GENERATIONS = ("hub-2", "hub-1", "hub-0")
LOAD = (
    "from transformers import AutoConfig, AutoTokenizer; "
    f"print(AutoConfig.from_pretrained('{REPO}').model_type, AutoTokenizer.from_pretrained('{REPO}')('Paris').input_ids)"
)

# The environment of vLLM has torch too.
GENERATE = f"""from transformers import AutoModelForCausalLM, AutoTokenizer
tokens, model = AutoTokenizer.from_pretrained("{REPO}"), AutoModelForCausalLM.from_pretrained("{REPO}")
chat = [{{"role": "user", "content": "{QUESTION}"}}]
asked = tokens.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokens.decode(model.generate(**asked, do_sample=False, max_new_tokens=16)[0][asked["input_ids"].shape[1]:]))"""


def download(client: Client, generation: str, *words: str) -> str:
    """Run ``hf download``; return the folder that it names last."""
    said = client.run(f"{path_of(generation)}/bin/hf", "download", REPO, *words, HF_HOME=f"/root/{generation}", NO_COLOR="1", **HUB)
    return next(line for line in reversed(said.splitlines()) if "/snapshots/" in line).rpartition(" ")[2]


def test_the_client_has_no_way_out(client: Client, mirror: Mirror) -> None:
    assert CLIENT in client.run("hostname")
    assert client.run("curl", "-sS", "--max-time", "5", f"https://{ADDRESS}/v2/") == "{}"
    # The same server at its address in the other network.
    client.run("curl", "-sSk", "--max-time", "3", f"https://{mirror.open_address}:8443/v2/", fails=True)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_download(client: Client, mirror: Mirror, generation: str) -> None:
    with mirror.watched() as log:
        folder = download(client, generation)
    assert client.same_as_the_source(folder)
    assert {request.status for request in log.files} <= {200, 206}
    assert len(log.files) >= 5
    with mirror.watched() as log:
        assert download(client, generation) == folder
    assert log, "the client has asked whether something is new"
    assert not log.files


@pytest.mark.parametrize("generation", ["hub-2", "hub-1"])
def test_the_cache_is_what_the_hub_says(client: Client, generation: str) -> None:
    said = client.run(f"{path_of(generation)}/bin/hf", "cache", "verify", REPO, HF_HOME=f"/root/{generation}", NO_COLOR="1", **HUB)
    assert "erified" in said
    assert "mismatch" not in said.lower()


def test_a_repository_that_is_not_there(client: Client) -> None:
    said = client.run(f"{path_of('hub-2')}/bin/hf", "download", "nobody/nothing", HF_HOME="/root/none", NO_COLOR="1", fails=True, **HUB)
    assert "not found" in said.lower()


@pytest.mark.parametrize("offline", ["0", "1"])
def test_transformers_loads_configuration_and_tokenizer(client: Client, offline: str) -> None:
    environment = {**HUB, "HF_HUB_OFFLINE": offline, "HF_HOME": "/root/hub-2"}
    assert client.run(f"{path_of('transformers')}/bin/python", "-c", LOAD, **environment).splitlines()[-1].startswith("llama [")


def test_transformers_loads_the_weights_offline(client: Client) -> None:
    said = client.run(f"{path_of('vllm')}/bin/python", "-c", GENERATE, HF_HUB_OFFLINE="1", HF_HOME="/root/hub-2")
    assert "Paris" in said
