"""A client's view, at the end of all that."""

from __future__ import annotations

from molecule_client import MODEL, Gateway, changed, listeners_off_loopback, playbook
from testinfra.host import Host


def test_site_yml_still_ends_with_the_right_answer_and_has_nothing_to_do() -> None:
    run = playbook("site.yml")
    assert run.returncode == 0, run.stdout
    assert changed(run.stdout) == 0, run.stdout


def test_a_client_gets_the_right_answer(host: Host) -> None:
    assert "Paris" in Gateway.of(host).ask()


def test_without_a_key_401(host: Host) -> None:
    assert Gateway.of(host).http(key=None).get("/v1/models").status_code == 401


def test_an_unlisted_path_404(host: Host) -> None:
    assert Gateway.of(host).http().post("/api/pull", json={"model": MODEL}).status_code == 404


def test_nothing_but_the_gateway_listens_off_loopback(host: Host) -> None:
    assert listeners_off_loopback(host) == {443}
