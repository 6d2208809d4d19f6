"""What the role ``ollama`` decides and refuses, as tables."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils import ollama_plan as ollama_plan_module
from ansible_collections.onprem.llm.plugins.plugin_utils.ollama_plan import environment, ollama_plan, space_problems, systemd_quoted

LLAMA = "/usr/bin/llama-server"
BARE: dict[str, Any] = {
    "versions": {},
    "command": "none",
    "current": "",
    "previous": "",
    "unit_owner": "none",
    "installer": None,
    "port_holder": None,
    "blocking_parents": [],
    "free_bytes": {"prefix": 10**11, "models": 10**11},
    "prefix_device": 1,
    "models_device": 1,
    "models_empty": True,
    "llama_server": True,
    "llama_package": True,
    "glibc": "2.41",
    "gpus": [],
}
GOOD: dict[str, Any] = {
    "state": "present",
    "version": "0.34.4",
    "way": "release",
    "machine": "x86_64",
    "llm_source": "open",
    "mirror_url": "",
    "sha256": "",
    "archive": "",
    "llama_server": "",
    "llama_package": "llama.cpp-tools",
    "proxy": {},
    "fetches_models": False,
    "prefix": "/opt/ollama",
    "home": "/var/lib/llm/ollama",
    "models_dir": "/var/lib/llm/ollama/models",
    "user": "llm",
    "host": "127.0.0.1",
    "port": 11434,
    "keep_versions": 1,
    "context_length": 4096,
    "num_parallel": 1,
    "max_loaded_models": 0,
    "max_queue": 512,
    "keep_alive": "5m",
    "kv_cache_type": "f16",
    "flash_attention": "auto",
    "gpu": "all",
    "no_cloud": "auto",
    "extra_environment": {},
}
INSTALLER = {"bin": "/usr/local/bin/ollama", "lib": "/usr/local/lib/ollama", "models": "/usr/share/ollama/.ollama/models", "device": 1}


def plan(host: dict[str, Any] | None = None, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    return ollama_plan({**BARE, **(host or {})}, {**GOOD, **(inputs or {})})


def test_a_bare_host_is_installed_and_switched() -> None:
    made = plan()
    assert made["problems"] == []
    assert (made["install"], made["switch"], made["previous"], made["prune"], made["take_over"]) == (True, True, "", [], False)
    assert made["fetch"]["file"] == "ollama-linux-amd64.tar.zst"


def test_nothing_is_to_do_where_all_is_there() -> None:
    made = plan({"versions": {"0.34.4": "archive"}, "current": "0.34.4", "unit_owner": "ours", "command": "ours"})
    assert (made["problems"], made["install"], made["switch"], made["prune"]) == ([], False, False, [])


@pytest.mark.parametrize(
    ("host", "controller", "first"), [("2.36", "2.41", True), ("2.41", "2.41", False), ("2.41", "2.9", False), ("", "2.36", True)]
)
def test_a_controller_with_a_newer_c_library_builds_first(monkeypatch: pytest.MonkeyPatch, host: str, controller: str, first: bool) -> None:
    monkeypatch.setattr(ollama_plan_module, "glibc", lambda: controller)
    assert plan({"glibc": host})["build_first"] is first


@pytest.mark.parametrize(
    ("origin", "inputs", "install"),
    [
        ("archive", {}, False),
        (LLAMA, {}, True),
        (LLAMA, {"way": "go"}, False),
        ("archive", {"way": "go"}, True),
        (LLAMA, {"way": "go", "llama_server": "/srv/in/llama-server"}, True),
    ],
)
def test_the_same_version_from_elsewhere_is_another(origin: str, inputs: dict[str, Any], install: bool) -> None:
    assert plan({"versions": {"0.34.4": origin}, "current": "0.34.4"}, inputs)["install"] is install


@pytest.mark.parametrize(
    ("versions", "current", "previous", "wanted", "keep", "expected"),
    [
        (["0.32.0"], "0.32.0", "", "0.34.4", 1, ("0.32.0", [])),
        (["0.31.0", "0.32.0"], "0.32.0", "0.31.0", "0.34.4", 1, ("0.32.0", ["0.31.0"])),
        (["0.31.0", "0.32.0"], "0.32.0", "0.31.0", "0.34.4", 2, ("0.32.0", [])),
        (["0.32.0", "0.34.4"], "0.34.4", "0.32.0", "0.34.4", 1, ("0.32.0", [])),
        (["0.32.0", "0.34.4"], "0.34.4", "0.32.0", "0.32.0", 1, ("0.34.4", [])),
        (["0.32.0", "0.34.4"], "0.34.4", "0.32.0", "0.34.4", 0, ("0.32.0", ["0.32.0"])),
        (["0.9.6", "0.10.0", "0.32.0"], "0.32.0", "", "0.34.4", 2, ("0.32.0", ["0.9.6"])),
    ],
)
def test_versions_that_are_kept(
    versions: list[str], current: str, previous: str, wanted: str, keep: int, expected: tuple[str, list[str]]
) -> None:
    made = plan(
        {"versions": dict.fromkeys(versions, "archive"), "current": current, "previous": previous},
        {"version": wanted, "keep_versions": keep},
    )
    assert (made["previous"], made["prune"]) == expected


@pytest.mark.parametrize(
    ("host", "inputs", "words"),
    [
        ({}, {"machine": "riscv64"}, "this host is riscv64"),
        ({}, {"version": "latest"}, "never 'latest'"),
        ({}, {"version": "0.1/../../x"}, "must look like"),
        ({}, {"way": "mirror"}, "llm_mirror_url is ''"),
        ({}, {"way": "file", "archive": "/nowhere"}, "'/nowhere' is none"),
        ({}, {"host": "0.0.0.0"}, "must be a loopback address"),  # noqa: S104  this is what is refused
        ({}, {"port": 0}, "between 1 and 65535"),
        ({}, {"num_parallel": 0}, "ollama_num_parallel must be at least 1"),
        ({}, {"keep_alive": "soon"}, "must be a duration"),
        ({}, {"models_dir": "models"}, "ollama_models_dir must be an absolute path"),
        ({}, {"prefix": "/opt/o llama"}, "ollama_prefix must be an absolute path"),
        ({}, {"prefix": "/opt"}, "ollama_prefix is '/opt', a directory of the system"),
        ({}, {"prefix": "/usr/"}, "ollama_prefix is '/usr/', a directory of the system"),
        ({}, {"prefix": "//usr//./local"}, "a directory of the system"),
        ({}, {"home": "/var/lib", "state": "absent"}, "ollama_home is '/var/lib', a directory of the system"),
        ({}, {"extra_environment": {"A-B": "1"}}, "must be the name of a variable"),
        ({}, {"extra_environment": {"A": "1\nB=2"}}, "its value one line"),
        ({}, {"extra_environment": {"OLLAMA_HOST": "0.0.0.0"}}, "an input of its own"),  # noqa: S104  this is what is refused
        ({"port_holder": {"name": "python3", "pid": 7, "ours": False}}, {}, "Port 11434 is held by python3 (pid 7)"),
        ({"unit_owner": "foreign"}, {}, "foreign units are never edited"),
        ({"command": "foreign"}, {}, "/usr/local/bin/ollama is a program that this role did not put there"),
        ({"blocking_parents": ["/data"]}, {}, "'chmod o+x /data'"),
        ({"free_bytes": {"prefix": 10**9, "models": 0}}, {}, "needs about 8.0 GB below /opt/ollama, but 1.0 GB are free"),
        ({"free_bytes": {"prefix": 10**7, "models": 0}}, {"way": "go"}, "needs about 0.1 GB"),
        ({"unit_owner": "installer", "installer": {**INSTALLER, "device": 2}}, {}, "on another file system"),
        ({"unit_owner": "installer", "installer": INSTALLER, "models_empty": False}, {}, "is not empty"),
        ({}, {"proxy": {"http": "http://u:hunter2@p"}, "fetches_models": True}, "carry the models in"),
        ({}, {"proxy": {"https": "http://u:hunter2@proxy.example:3128"}}, "base_proxy holds a user name or a password"),
        ({"llama_package": False}, {"way": "go"}, "has no package 'llama.cpp-tools'"),
        ({"llama_server": False}, {"way": "go", "llama_server": "/x"}, "the host has no such program"),
        ({}, {"way": "go", "machine": "aarch64" if platform.machine() != "aarch64" else "x86_64"}, "on a controller of the same kind"),
    ],
)
def test_what_is_refused(host: dict[str, Any], inputs: dict[str, Any], words: str) -> None:
    problems = plan(host, inputs)["problems"]
    assert len(problems) == 1 and words in problems[0], problems
    assert "hunter2" not in problems[0]


def test_what_works_is_not_refused() -> None:
    running = {"port_holder": {"name": "ollama", "pid": 7, "ours": True}}
    assert plan({**running, "unit_owner": "installer", "installer": INSTALLER, "command": "foreign"})["problems"] == []
    assert plan({}, {"way": "go", "machine": platform.machine()})["problems"] == []
    assert plan({}, {"proxy": {"http": None, "https": "http://proxy.example:3128"}})["problems"] == []
    secret = {"proxy": {"http": "http://u:hunter2@proxy.example:3128"}}
    assert plan({}, {**secret, "way": "go", "machine": platform.machine()})["problems"] == []
    assert plan({"versions": {"0.34.4": "archive"}}, secret)["problems"] == []
    # Nothing is fetched: neither room nor a mirror is needed.
    there = {"versions": {"0.34.4": "archive"}, "free_bytes": {"prefix": 0, "models": 0}}
    assert plan(there, {"way": "mirror"})["problems"] == []


def test_a_carried_in_archive_is_compared_with_its_digest(tmp_path: Path) -> None:
    archive = tmp_path / "ollama.tar.zst"
    archive.write_bytes(b"archive")
    carried = {"way": "file", "archive": str(archive), "sha256": hashlib.sha256(b"archive").hexdigest()}
    assert plan({}, carried)["problems"] == []
    assert "it has " + carried["sha256"] in plan({}, {**carried, "sha256": "00" * 32})["problems"][0]


def test_text_from_the_command_line_and_yaml_switches_are_understood() -> None:
    made = plan({}, {"port": "11500", "num_parallel": "2", "no_cloud": True, "flash_attention": False})
    assert made["problems"] == []
    assert (
        made["environment"] | {"OLLAMA_HOST": "127.0.0.1:11500", "OLLAMA_NO_CLOUD": "1", "OLLAMA_FLASH_ATTENTION": "0"}
        == made["environment"]
    )


@pytest.mark.parametrize(
    ("inputs", "name", "value"),
    [
        ({}, "OLLAMA_NO_CLOUD", None),
        ({"llm_source": "closed"}, "OLLAMA_NO_CLOUD", "1"),
        ({"llm_source": "closed", "no_cloud": "off"}, "OLLAMA_NO_CLOUD", None),
        ({}, "CUDA_VISIBLE_DEVICES", None),
        ({"gpu": "none"}, "CUDA_VISIBLE_DEVICES", "-1"),
        ({"gpu": "GPU-1,GPU-2"}, "CUDA_VISIBLE_DEVICES", "GPU-1,GPU-2"),
        ({"context_length": 0}, "OLLAMA_CONTEXT_LENGTH", None),
        ({"keep_alive": -1}, "OLLAMA_KEEP_ALIVE", "-1"),
    ],
)
def test_settings(inputs: dict[str, Any], name: str, value: str | None) -> None:
    assert environment({**GOOD, **inputs}).get(name) == value


@pytest.mark.parametrize(("gpus", "gpu", "hidden"), [([], "all", True), (["nvidia"], "all", False), (["nvidia"], "none", True)])
def test_devices_are_hidden_unless_a_gpu_is_used(gpus: list[str], gpu: str, hidden: bool) -> None:
    assert plan({"gpus": gpus}, {"gpu": gpu})["hide_devices"] is hidden


def test_quoting() -> None:
    assert systemd_quoted('a"b\\c%d') == 'a\\"b\\\\c%%d'
    assert systemd_quoted("50%", specifiers=False) == "50%"


def need(folder: str, size: int, content: str = "", device: int = 1) -> dict[str, Any]:
    return {"folder": folder, "size": size, "content": content, "device": device, "free": 10**9}


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ([], None),
        ([need("/a", 6 * 10**8), need("/b", 4 * 10**8)], None),
        ([need("/a", 6 * 10**8), need("/b", 6 * 10**8)], "/a and /b need 1.2 GB in all on one file system, but 1.0 GB are free"),
        ([need("/a", 6 * 10**8), need("/b", 6 * 10**8, device=2)], None),
        # Two models of one file store it once, and copy it into the models' folder once.
        ([need("/a", 6 * 10**8, "store x"), need("/a", 6 * 10**8, "store x")], None),
        ([need("/a", 6 * 10**8, "store x"), need("/a", 6 * 10**8, "models x")], "/a need 1.2 GB"),
    ],
)
def test_what_does_not_fit_all_in_all(needs: list[dict[str, Any]], words: str | None) -> None:
    problems = space_problems(needs)
    assert (problems == []) if words is None else (len(problems) == 1 and words in problems[0]), problems


def test_the_engine_needs_room_only_where_it_is_installed() -> None:
    assert plan()["needs"] == [{"folder": "/opt/ollama", "size": 8 * 10**9, "content": "", "device": 1, "free": 10**11}]
    assert plan({"versions": {"0.34.4": "archive"}})["needs"] == []
