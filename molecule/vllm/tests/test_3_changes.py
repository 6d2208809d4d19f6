"""Options change one model, bad ones change nothing, a model leaves; versions go up, down and back."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import FIRST, MODELS, PREFIX, SECOND, UNITS, Engine, models
from molecule_client import changed, playbook
from testinfra.host import Host

OTHER, DEFAULT = "0.31.0", "0.32.0"


def everything(host: Host) -> str:
    """Return a listing of all that the role could change, and the processes of the services."""
    listing = "find /etc /opt /usr/local /var/lib/llm /srv/python/onprem-llm-vllm -maxdepth 6 -printf '%p %s %T@ %m %u %l\\n' | sort"
    return host.check_output(listing) + host.check_output(f"systemctl show {' '.join(UNITS.values())} -p MainPID")


def test_options_of_one_model_restart_that_model_only(engine: Engine) -> None:
    before = {name: engine.pid(name) for name in UNITS}
    inputs = {"llm_models": models(options={"max_num_seqs": 2})}
    assert changed(engine.converge("--check", "--diff", **inputs)) > 0
    assert {name: engine.pid(name) for name in UNITS} == before
    assert changed(engine.converge(**inputs)) > 0
    assert engine.pid(FIRST) == before[FIRST]
    assert engine.pid(SECOND) not in {before[SECOND], "0"}
    assert "Paris" in engine.ask(SECOND)
    assert changed(engine.converge(**inputs)) == 0


def test_a_model_can_be_served_for_embeddings(engine: Engine) -> None:
    engine.converge(llm_models=models(options={"runner": "pooling", "convert": "embed"}))
    one, same, other = (
        engine.gateway.openai().embeddings.create(model=SECOND, input=text).data[0].embedding for text in ("Paris", "Paris", "a bicycle")
    )
    assert len(one) == 576
    assert one == pytest.approx(same, abs=0.01)
    assert one != pytest.approx(other, abs=0.01)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"llm_models": models(options={"max_num_seq": 2})}, "max-num-seqs"),
        ({"llm_models": models(options={"max_num_seqs": "many"})}, "many"),
        ({"llm_models": models(options={"port": 9000})}, "port"),
        ({"llm_models": models(options={"dtype": "float8"})}, "float8"),
        ({"llm_models": models(source="file:/srv/in/no-such-folder", sha256="")}, "/srv/in/no-such-folder"),
        ({"llm_models": models(source="file:/srv/in/SmolLM2-135M-Instruct.Q4_1.gguf", sha256="")}, "folder"),
        ({"llm_models": models(sha256="0" * 64)}, "0000000"),
        ({"llm_models": models(port=8000)}, "same port"),
        ({"vllm_variant": "cuda"}, "GPU"),
        ({"vllm_version": "0.1.2"}, "0.1.2"),
        ({"vllm_port": 70000}, "vllm_port"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_changes(host: Host, engine: Engine, inputs: dict[str, Any], words: str) -> None:
    before = everything(host)
    run = engine.attempt(**inputs)
    assert run.returncode != 0, run.stdout
    assert words in run.stdout
    assert "Traceback" not in run.stdout
    assert everything(host) == before


def test_a_truncated_shard_is_refused(host: Host, engine: Engine) -> None:
    host.check_output(
        "mkdir /srv/cut && cp /srv/in/SmolLM2-135M-Instruct/* /srv/cut/ && rm /srv/cut/SHA256SUMS && "
        "truncate -s -1000 /srv/cut/model.safetensors"
    )
    try:
        before = everything(host)
        run = engine.attempt(llm_models=models(source="file:/srv/cut", sha256=""))
        assert run.returncode != 0 and "model.safetensors" in run.stdout, run.stdout
        assert everything(host) == before
    finally:
        host.check_output("rm -r /srv/cut")


def test_a_service_that_does_not_start_is_quoted(engine: Engine) -> None:
    # More context than the model was made for: the engine itself refuses it, in its own words.
    run = engine.attempt(llm_models=models(context=10_000_000))
    assert run.returncode != 0, run.stdout
    assert UNITS[SECOND] in run.stdout
    assert "10000000" in run.stdout


def test_a_model_leaves_and_the_other_stays(host: Host, engine: Engine) -> None:
    before = engine.pid(FIRST)
    assert changed(engine.converge(llm_models=models(state="absent"))) > 0
    assert engine.pid(FIRST) == before
    assert "Paris" in engine.ask()
    assert not host.service(UNITS[SECOND]).is_running
    assert not host.file("/var/lib/llm/vllm/models/team-second-v1").exists
    assert host.file("/var/lib/llm/vllm/models/smollm2-135m-vllm/model.safetensors").exists
    assert changed(engine.converge(llm_models=models(state="absent"))) == 0


def test_another_version_and_back(engine: Engine) -> None:
    one = {"llm_models": models(state="absent")}
    assert engine.version() == DEFAULT
    engine.converge(vllm_version=OTHER, **one)
    assert (engine.version(), engine.link("previous")) == (OTHER, DEFAULT)
    assert "Paris" in engine.ask()
    run = playbook("playbooks/rollback.yml", "--extra-vars", f'{{"llm_models": {[MODELS[0]]!r}}}'.replace("'", '"'))
    assert run.returncode == 0, run.stdout
    assert (engine.version(), engine.link("previous")) == (DEFAULT, OTHER)
    assert changed(engine.converge(**one)) == 0
    assert "Paris" in engine.ask()


def test_removal(host: Host, engine: Engine) -> None:
    engine.converge(vllm_state="absent", llm_models=models(state="absent"))
    assert not host.file(PREFIX).exists or host.file(PREFIX).listdir() == []
    assert not host.file("/etc/systemd/system/vllm@.service").exists
    assert host.check_output("systemctl list-units --all --no-legend 'vllm@*'") == ""
    assert host.file("/var/lib/llm/vllm/models/smollm2-135m-vllm/model.safetensors").exists
    reply = engine.gateway.http().post("/v1/chat/completions", json={"model": FIRST, "messages": [{"role": "user", "content": "hi"}]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_unavailable")
    assert changed(engine.converge(vllm_state="absent", llm_models=models(state="absent"))) == 0
