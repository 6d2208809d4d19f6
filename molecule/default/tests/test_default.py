"""What the defaults give: a client's view, and an administrator's."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest
from molecule_client import MODEL, Gateway, changed, exposure, listeners_off_loopback, playbook
from testinfra.host import Host


@pytest.fixture(scope="module")
def gateway(host: Host) -> Gateway:
    return Gateway.of(host)


def test_the_right_answer(gateway: Gateway) -> None:
    assert "Paris" in gateway.ask()


def test_without_a_key_401(gateway: Gateway) -> None:
    reply = gateway.http(key=None).get("/v1/models")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")


def test_an_unlisted_path_404(gateway: Gateway) -> None:
    assert gateway.http().post("/api/pull", json={"model": MODEL}).status_code == 404


def test_a_client_that_does_not_know_the_ca_refuses(gateway: Gateway) -> None:
    with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx2.get(f"{gateway.url}/health", verify=ssl.create_default_context())


def test_nothing_but_the_gateway_listens_off_loopback(host: Host) -> None:
    assert listeners_off_loopback(host) == {443}


@pytest.mark.parametrize("unit", ["ollama.service", "nginx.service"])
def test_units_are_hardened(host: Host, unit: str) -> None:
    assert exposure(host, unit) <= 3.0


def test_check_mode_tells_the_truth_where_nothing_is_to_do() -> None:
    run = playbook("--check", "site.yml")
    assert run.returncode == 0, run.stdout
    assert changed(run.stdout) == 0, run.stdout


def test_the_demo_model_is_stored_once(host: Host) -> None:
    inodes = host.check_output(
        "find /var/lib/llm -type f -size +90M -printf '%i\\n' | sort --unique",
    ).split()
    assert len(inodes) == 1


def test_the_plan_reads_the_model_and_changes_nothing() -> None:
    done = playbook("playbooks/plan.yml")
    assert (done.returncode, changed(done.stdout)) == (0, 0), done.stdout
    # What the GGUF on the host says of itself: 30 layers with 3 KV heads of 64 values, 2 bytes each.
    assert f"{MODEL}  ollama" in done.stdout and "30 layers x 768 B x" in done.stdout.replace("\n", " ")


def test_the_roles_heed_a_plan(host: Host, tmp_path: Path) -> None:
    done = playbook("playbooks/plan.yml", "-e", f"llm_plan_dir={tmp_path}")
    written = tmp_path / host.backend.get_hostname() / "llm_plan.yml"
    assert done.returncode == 0 and written.exists(), done.stdout
    run = playbook("--check", "--diff", "site.yml", "--tags", "ollama_configure", "-e", f"@{written}")
    assert run.returncode == 0 and '+Environment="OLLAMA_MAX_LOADED_MODELS=1"' in run.stdout, run.stdout


def test_a_plan_that_does_not_fit_says_what_would_help() -> None:
    models = '{"llm_models": [{"name": "big", "source": "ollama:llama3.1:405b"}]}'
    done = playbook("playbooks/plan.yml", "-e", models)
    assert done.returncode != 0 and "big (q4_k_m, 4096 tokens, 1 users) needs" in done.stdout, done.stdout
