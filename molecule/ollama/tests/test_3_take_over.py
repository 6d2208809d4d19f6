"""Removal, an installation of Ollama's own installer that is taken over, and archives. Models survive all of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from conftest import NAME, SCENARIO, Archive, Engine
from molecule_client import MODEL, changed, playbook
from testinfra.host import Host

UNIT = "/etc/systemd/system/ollama.service"


def from_file(archive: Archive, version: str = "0.34.4") -> list[str]:
    """Return the arguments that take the engine from an archive on the controller."""
    inputs = {"source": "file", "archive": str(archive.path), "sha256": archive.sha256, "version": version}
    return [word for name, value in inputs.items() for word in ("-e", f"ollama_{name}={value}")]


def test_removal_keeps_the_models(host: Host, engine: Engine, archive: Archive) -> None:
    before = engine.files_of_models()
    host.check_output("cp /opt/ollama/current/bin/ollama /root/ollama")
    assert changed(engine.converge("-e", "ollama_state=absent")) > 0
    for path in (UNIT, f"{UNIT}.d", "/opt/ollama", "/usr/local/bin/ollama", "/etc/llm/ollama.env"):
        assert not host.file(path).exists, path
    assert host.run("systemctl is-active ollama").rc != 0
    assert engine.files_of_models() == before
    assert changed(engine.converge("-e", "ollama_state=absent")) == 0


def test_a_foreign_unit_is_refused(host: Host, engine: Engine) -> None:
    host.check_output(f"printf '[Service]\\nExecStart=/usr/bin/sleep 1\\n' > {UNIT}")
    run = engine.attempt()
    assert run.returncode != 0 and "foreign units are never edited" in " ".join(run.stdout.split()), run.stdout
    assert host.file(UNIT).content_string == "[Service]\nExecStart=/usr/bin/sleep 1\n"
    host.check_output(f"rm {UNIT}")


def test_an_installation_of_install_sh_is_taken_over(host: Host, engine: Engine, archive: Archive) -> None:
    before = engine.files_of_models()
    script = (SCENARIO / "stand-in-installer.sh").read_text()
    host.check_output(f"cat > /root/installer <<'END'\n{script}END\nsh /root/installer /root/ollama /var/lib/llm/ollama/models")
    unit = host.file(UNIT).content_string
    assert host.check_output("systemctl show ollama -p User --value") == "ollama"
    assert changed(engine.converge("--check", *from_file(archive))) > 0
    assert host.file(UNIT).content_string == unit

    engine.converge(*from_file(archive))
    aside = host.check_output("echo /var/lib/llm/ollama-replaced-*")
    assert host.file(f"{aside}/ollama.service").content_string == unit
    assert "OLLAMA_MAX_QUEUE=7" in host.file(f"{aside}/ollama.service.d/override.conf").content_string
    assert not host.file("/usr/local/lib/ollama").exists
    assert host.user("ollama").exists and not host.file("/usr/share/ollama/.ollama/models").exists
    assert host.check_output("readlink -f /usr/local/bin/ollama") == "/opt/ollama/0.34.4/bin/ollama"
    # Unpacked: a program of its own, and no link to the carried-in one.
    assert not host.file("/opt/ollama/0.34.4/lib/ollama/llama-server").is_symlink
    assert engine.files_of_models() == before and engine.models == [f"{MODEL}:latest"]
    assert "Paris" in engine.ask()
    assert changed(engine.converge(*from_file(archive))) == 0


def test_a_mirror_with_other_bytes_changes_nothing(host: Host, engine: Engine, archive: Archive, web: tuple[str, Path]) -> None:
    address, folder = web
    place = folder / "artefacts" / "ollama" / "0.32.7" / archive.path.name
    place.parent.mkdir(parents=True)
    place.write_bytes(archive.path.read_bytes()[:-1000])
    mirror = [
        "-e",
        "llm_source=mirror",
        "-e",
        f"llm_mirror_url={address}",
        "-e",
        "ollama_version=0.32.7",
        "-e",
        f"ollama_sha256={archive.sha256}",
    ]
    pid = host.check_output("systemctl show ollama -p MainPID")
    run = engine.attempt(*mirror)
    assert run.returncode != 0 and archive.sha256 in run.stdout, run.stdout
    assert host.check_output("ls -A /opt/ollama").split() == ["0.34.4", "current"]
    assert host.check_output("systemctl show ollama -p MainPID") == pid

    place.write_bytes(archive.path.read_bytes())
    engine.converge(*mirror)
    assert host.check_output("ls -A /opt/ollama").split() == ["0.32.7", "0.34.4", "current", "previous"]
    assert (engine.link("current"), engine.link("previous")) == ("0.32.7", "0.34.4")
    assert changed(engine.converge(*mirror)) == 0
    assert "Paris" in engine.ask()


def test_a_release_without_a_pinned_digest(host: Host, archive: Archive, web: tuple[str, Path]) -> None:
    address, folder = web
    (folder / archive.path.name).write_bytes(archive.path.read_bytes())
    (folder / "other").write_bytes(b"other")
    (folder / "sha256sum.txt").write_text(f"{hashlib.sha256(b'x').hexdigest()}  ./x\n{archive.sha256}  ./{archive.path.name}\n")
    fetch = [str(SCENARIO / "release.yml"), "-e", f"test_server={address}", "-e"]
    run = playbook(*fetch, "test_file=other")
    assert run.returncode != 0 and "did not match" in run.stdout and not host.file("/root/release.tar.zst").exists, run.stdout
    run = playbook(*fetch, f"test_file={archive.path.name}")
    assert run.returncode == 0 and "Trust rests on TLS alone." in run.stdout, run.stdout
    assert host.check_output("sha256sum /root/release.tar.zst").startswith(archive.sha256)


def test_back_to_the_go_module_and_only_two_versions_are_kept(host: Host, engine: Engine) -> None:
    engine.converge()
    assert host.check_output("ls -A /opt/ollama").split() == ["0.32.7", "0.34.4", "current", "previous"]
    assert host.file("/opt/ollama/0.34.4/lib/ollama/llama-server").is_symlink
    assert host.check_output("ls /opt/ollama/0.34.4/lib/ollama") == "llama-server"
    assert host.check_output("hostname") == NAME and "Paris" in engine.ask()
