"""Converge has upgraded 0.32.0 to 0.34.4: models survived, and it goes back and forth without a download."""

from __future__ import annotations

from conftest import Engine
from molecule_client import MODEL, changed, exposure, playbook
from testinfra.host import Host


def test_the_upgrade_kept_the_models(host: Host, engine: Engine) -> None:
    before = host.check_output("sort /root/models-before")
    assert before and engine.files_of_models() == before
    assert (engine.version, engine.link("previous"), engine.models) == ("0.34.4", "0.32.0", [f"{MODEL}:latest"])
    assert "Paris" in engine.ask()


def test_the_weights_are_on_the_disk_once(host: Host) -> None:
    paths = "/var/lib/llm/ollama/models/blobs /var/lib/llm/store/blobs"
    found = host.check_output(f"find {paths} -type f -size +90M -printf '%i %n\\n'").splitlines()
    assert len(found) == 2 and len(set(found)) == 1


def test_the_unit_is_hardened(host: Host) -> None:
    assert exposure(host, "ollama.service") <= 3.0
    assert host.check_output("systemctl show ollama -p User -p Group --value").split() == ["llm", "llm"]


def test_rollback_and_back_again_without_a_download(engine: Engine) -> None:
    before = engine.files_of_models()
    run = playbook("playbooks/rollback.yml")
    assert run.returncode == 0 and "Set ollama_version to 0.32.0" in run.stdout, run.stdout
    assert (engine.version, engine.link("previous"), engine.models) == ("0.32.0", "0.34.4", [f"{MODEL}:latest"])
    said = engine.converge()
    assert "Build the program" not in said and "Install this version" not in said
    assert (engine.version, engine.link("previous"), engine.files_of_models()) == ("0.34.4", "0.32.0", before)


def test_the_extra_environment_is_a_secret(host: Host, engine: Engine) -> None:
    said = engine.converge("--diff", "-e", '{"ollama_extra_environment": {"OLLAMA_TEST": "a secret, 100% \\"quoted\\" $HOME"}}')
    assert "a secret" not in said
    file = host.file("/etc/llm/ollama.env")
    assert (file.user, file.group, file.mode) == ("root", "llm", 0o640)
    pid = host.check_output("systemctl show ollama -p MainPID --value")
    environment = host.check_output(f'su -s /bin/sh llm -c \'tr "\\\\0" "\\\\n" < /proc/{pid}/environ\'')
    assert 'OLLAMA_TEST=a secret, 100% "quoted" $HOME' in environment.splitlines()
    engine.converge()
    assert not file.exists


def test_a_service_that_does_not_start_is_quoted(host: Host, engine: Engine) -> None:
    drop_in = "/etc/systemd/system/ollama.service.d/90-test.conf"
    host.check_output(f"printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c \"echo the disk has melted; exit 1\"\\n' > {drop_in}")
    try:
        run = engine.attempt("-e", "ollama_max_queue=17", "-e", "ollama_ready_timeout=2")
        assert run.returncode != 0 and "ollama.service did not answer at http://127.0.0.1:11434" in run.stdout, run.stdout
        assert "the disk has melted" in run.stdout
    finally:
        host.check_output(f"rm {drop_in}")
    assert changed(engine.converge()) > 0
    assert engine.version == "0.34.4"
