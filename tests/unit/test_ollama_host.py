"""What the role ``ollama`` reads of a host: trees made for the test stand for the host's files and ``/proc``."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.onprem.llm.plugins.module_utils import host_files, listeners, ollama_host
from ansible_collections.onprem.llm.plugins.modules import ollama_info
from ansible_collections.onprem.llm.plugins.plugin_utils import artefacts

# The unit that Ollama's installer writes (scripts/install.sh).
INSTALLER_UNIT = """[Unit]
Description=Ollama Service
After=network-online.target

[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
RestartSec=3
Environment="PATH=/usr/local/bin:/usr/bin:/bin"

[Install]
WantedBy=default.target
"""


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        (None, "none"),
        ("# onprem.llm: written by the role\n[Service]\n", "ours"),
        (INSTALLER_UNIT, "installer"),
        (INSTALLER_UNIT.replace("/usr/local/bin", "/usr/bin"), "installer"),
        (INSTALLER_UNIT.replace("/usr/local/bin/ollama", "/home/me/ollama"), "foreign"),
        ("[Service]\nExecStart=/usr/bin/docker run ollama\n", "foreign"),
    ],
)
def test_whose_unit_it_is(tmp_path: Path, text: str | None, owner: str) -> None:
    unit = tmp_path / "ollama.service"
    if text is not None:
        unit.write_text(text)
    assert ollama_host.service_owner(unit)[0] == owner


def test_a_masked_unit_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "ollama.service").symlink_to("/dev/null")
    assert ollama_host.service_owner(tmp_path / "ollama.service")[0] == "foreign"


def test_what_the_installer_has_left(tmp_path: Path) -> None:
    models = tmp_path / "old models"
    models.mkdir()
    unit = write(tmp_path / "ollama.service", INSTALLER_UNIT)
    write(tmp_path / "ollama.service.d" / "override.conf", f'[Service]\nEnvironment="OLLAMA_MODELS={models}"\n')
    assert ollama_host.installer(unit, INSTALLER_UNIT) == {
        "bin": "/usr/local/bin/ollama",
        "lib": "/usr/local/lib/ollama",
        "models": str(models),
        "device": models.stat().st_dev,
    }


def test_versions_and_where_they_came_from(tmp_path: Path) -> None:
    for version in ("0.34.4", "0.32.0", ".new-0.35.0", "tool", "0.34", "v0.34.4"):
        write(tmp_path / version / "bin" / "ollama")
    write(tmp_path / "0.34.4" / "lib" / "ollama" / "llama-server")
    (tmp_path / "0.32.0" / "lib" / "ollama").mkdir(parents=True)
    (tmp_path / "0.32.0" / "lib" / "ollama" / "llama-server").symlink_to("/usr/bin/llama-server")
    (tmp_path / "0.31.0" / "bin").mkdir(parents=True)
    (tmp_path / "current").symlink_to("0.34.4")
    (tmp_path / "previous").symlink_to("tool")
    assert ollama_host.versions(tmp_path) == {"0.32.0": "/usr/bin/llama-server", "0.34.4": "archive"}
    assert (ollama_host.link_name(tmp_path / "current"), ollama_host.link_name(tmp_path / "previous")) == ("0.34.4", "")


def test_a_version_is_what_the_plan_takes_for_one() -> None:
    assert ollama_host.VERSION.pattern == artefacts.VERSION.pattern


def test_whose_command_it_is(tmp_path: Path) -> None:
    assert ollama_host.command_owner(tmp_path / "none") == "none"
    assert ollama_host.command_owner(write(tmp_path / "ollama")) == "foreign"
    (tmp_path / "link").symlink_to("/opt/ollama/current/bin/ollama")
    (tmp_path / "other").symlink_to("/opt/other/ollama")
    assert [ollama_host.command_owner(tmp_path / name) for name in ("link", "other")] == ["ours", "foreign"]


TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def proc_tree(tmp_path: Path, *, uid: int, state: str = "0A") -> Path:
    write(
        tmp_path / "net" / "tcp",
        f"{TCP}   0: 0100007F:2CAA 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid} 0 4711 1 0\n",
    )
    process = tmp_path / "42"
    write(process / "comm", "ollama\n")
    write(process / "cgroup", "0::/system.slice/ollama.service\n")
    (process / "fd").mkdir()
    (process / "fd" / "3").symlink_to("socket:[4711]")
    return tmp_path


@pytest.mark.parametrize(("unit", "ours"), [("ollama.service", True), ("other.service", False)])
def test_who_listens(tmp_path: Path, unit: str, ours: bool) -> None:
    proc = proc_tree(tmp_path, uid=0)
    assert listeners.holder_of(11434, unit, proc) == {"name": "ollama", "pid": 42, "ours": ours}
    assert listeners.holder_of(11435, unit, proc) is None


def test_a_connection_is_no_listener(tmp_path: Path) -> None:
    assert listeners.holder_of(11434, "ollama.service", proc_tree(tmp_path, uid=0, state="01")) is None


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        (os.getuid(), {"name": "ollama", "pid": 42, "ours": True}),
        (54321, {"name": "a program of the account number 54321", "pid": 0, "ours": False}),
    ],
)
def test_a_process_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, expected: dict[str, object]
) -> None:
    proc = proc_tree(tmp_path, uid=uid)
    monkeypatch.setattr(listeners, "_inodes_of", lambda _process: None)
    assert listeners.holder_of(11434, "ollama.service", proc) == expected


def test_descriptors_that_may_be_listed_and_not_read_belong_to_a_process_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What root sees of others' processes in a container without the right to trace them.
    def refuse(_path: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    proc = proc_tree(tmp_path, uid=os.getuid())
    monkeypatch.setattr(Path, "readlink", refuse)
    assert listeners.holder_of(11434, "ollama.service", proc) == {"name": "ollama", "pid": 42, "ours": True}
    (found,) = listeners.listening([11434], proc)
    assert (found["process"], found["pid"], found["unit"]) == ("ollama", 42, "ollama.service")
    # A second process of the account: it is known if it is of the same unit.
    for unit, known in (("ollama.service", True), ("other.service", False)):
        write(tmp_path / "43" / "comm", "runner\n")
        write(tmp_path / "43" / "cgroup", f"0::/system.slice/{unit}\n")
        (tmp_path / "43" / "fd").mkdir(exist_ok=True)
        if known:
            (tmp_path / "43" / "fd" / "1").symlink_to("pipe:[1]")
        assert (listeners.listening([11434], proc)[0]["unit"] == "ollama.service") is known


def test_a_descriptor_that_was_closed_meanwhile_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc = proc_tree(tmp_path, uid=0)
    readlink = Path.readlink

    def once(path: Path) -> Path:
        if path.name == "1":
            raise FileNotFoundError(2, "No such file or directory")
        return readlink(path)

    (tmp_path / "42" / "fd" / "1").symlink_to("pipe:[1]")
    monkeypatch.setattr(Path, "readlink", once)
    found = listeners.holder_of(11434, "ollama.service", proc)
    assert found and found["pid"] == 42


def test_a_real_listener_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = listeners.holder_of(server.getsockname()[1], "ollama.service")
    # Whoever supervises this machine may hold the same socket, so the process is not compared.
    assert found is not None and found["name"] and not found["ours"]


def test_parents_that_a_user_may_not_pass(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "open").mkdir(parents=True)
    for folder, mode in ((tmp_path, 0o711), (closed, 0o700), (closed / "open", 0o755)):
        folder.chmod(mode)
    blocking = host_files.blocking_parents(closed / "open" / "models", "no-such-user")
    assert str(closed) in blocking and str(closed / "open") not in blocking and str(tmp_path) not in blocking
    assert host_files.blocking_parents(closed / "open" / "models", "root") == []


def test_free_space_of_what_is_not_there_yet(tmp_path: Path) -> None:
    assert host_files.free_bytes(tmp_path / "a" / "b") > 0
    assert host_files.nearest(tmp_path / "a" / "b") == tmp_path


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service whose process 42 started at the second 1000100, in a tree for ``/proc``; systemctl is a script."""
    write(tmp_path / "proc" / "stat", "cpu 1 2 3\nbtime 1000000\nprocesses 9\n")
    ticks = 100 * os.sysconf("SC_CLK_TCK")
    write(tmp_path / "proc" / "42" / "stat", f"42 (a (strange) name) S {' '.join(['1'] * 18)} {ticks} 1 1\n")
    write(tmp_path / "bin" / "systemctl", "#!/bin/sh\necho 42\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def test_when_a_service_started(running: Path) -> None:
    assert ollama_host.start_time("x.service", running / "proc") == 1000100
    write(running / "bin" / "systemctl", "#!/bin/sh\necho 43\n")
    assert ollama_host.start_time("x.service", running / "proc") is None


def test_a_real_process_started_just_now(running: Path) -> None:
    write(running / "bin" / "systemctl", f"#!/bin/sh\necho {os.getpid()}\n")
    started = ollama_host.start_time("x.service")
    assert started is not None and 0 <= time.time() - started < 3600


def test_a_systemctl_that_fails_is_not_taken_for_an_answer(running: Path) -> None:
    write(running / "bin" / "systemctl", "#!/bin/sh\necho 'no bus' >&2\nexit 1\n")
    with pytest.raises(ollama_host.HostError, match="no bus"):
        ollama_host.start_time("x.service", running / "proc")


@pytest.mark.parametrize(
    ("active", "file", "runs"),
    [("active", "enabled", True), ("active", "disabled", False), ("activating", "enabled", False), ("failed", "enabled", False)],
)
def test_whether_a_service_runs_now_and_after_a_boot(running: Path, active: str, file: str, runs: bool) -> None:
    write(running / "bin" / "systemctl", f"#!/bin/sh\nprintf 'ActiveState={active}\\nUnitFileState={file}\\n'\n")
    unit = running / "x.service"
    assert not ollama_host.is_running(unit)
    assert ollama_host.is_running(write(unit)) is runs


@pytest.mark.parametrize(
    ("newer", "stale"),
    [
        (None, False),
        ("ollama.service", True),
        ("ollama.service.d/10-settings.conf", True),
        ("etc/ollama.env", True),
        ("etc/services.env", True),
        ("etc/vllm.env", False),
        ("trust/llm-corporate.crt", True),
        ("trust/other.crt", False),
    ],
)
def test_what_a_running_service_has_not_read_yet(running: Path, monkeypatch: pytest.MonkeyPatch, newer: str | None, stale: bool) -> None:
    monkeypatch.setattr(ollama_host, "start_time", lambda _service: 1000100.0)
    monkeypatch.setattr(ollama_host, "CA_FOLDERS", (running / "trust", running / "none"))
    names = ["ollama.service", "ollama.service.d/10-settings.conf", "etc/ollama.env", "etc/services.env", "etc/vllm.env"]
    for name in [*names, "trust/llm-corporate.crt", "trust/other.crt"]:
        when = 1000200 if name == newer else 1000100
        os.utime(write(running / name), (when, when))
    places = ollama_host.Places(running / "opt", running / "models", running / "etc" / "ollama.env", "llm", "llm", 1, "", "")
    assert ollama_host.is_stale(running / "ollama.service", places) is stale


@pytest.mark.parametrize(
    ("user", "group", "there"), [("root", "root", True), ("root", "no-such-group", False), ("no-such-user", "root", False)]
)
def test_whether_the_account_is_there(user: str, group: str, there: bool) -> None:
    assert ollama_host.has_account(user, group) is there


def test_the_module_answers_on_a_bare_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"prefix": str(tmp_path / "none"), "models_dir": str(tmp_path / "models"), "port": 1, "user": "root"}
    with patch_module_args(given), pytest.raises(SystemExit):
        ollama_info.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["changed"], result["versions"], result["current"], result["models_empty"]) == (False, {}, "", True)
