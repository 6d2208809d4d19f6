"""What is secret in the address of a file is sent to its server, and neither shown nor logged nor kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

from ansible_collections.onprem.llm.plugins.modules import mirror_files, mirror_wheels
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror_packages import package_problems
from ansible_collections.onprem.llm.tests.unit.helpers.standin_index import StandinIndex, digest, standin_index
from ansible_collections.onprem.llm.tests.unit.helpers.wheel_writer import wheel_bytes

SECRET = "s3cr3t"  # noqa: S105  made up
# Ansible takes what stands before the '@' for a password.
SIGNATURE = f"GoogleAccessId=me@h&Signature={SECRET}/+{SECRET}"
WHEEL = "plain-1.0-py3-none-any.whl"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def index() -> Iterator[StandinIndex]:
    with standin_index({WHEEL: wheel_bytes("plain", "1.0")}) as index:
        index.signature = SIGNATURE
        yield index


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path) -> Run:
    """Return a function that runs a module and looks for the secret in all that it prints, logs and leaves in the tree."""
    logged: list[str] = []
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(basic.AnsibleModule, "_log_to_syslog", lambda _self, message: logged.append(message))

    def run(module: ModuleType, params: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        told = {**params, "root": str(root), "retries": 0, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(told), pytest.raises(SystemExit):
            module.main()
        printed = capsys.readouterr().out
        result: dict[str, Any] = json.loads(printed)
        assert SECRET not in printed and result["invocation"] and logged
        assert not any(SECRET in line for line in logged)
        assert [path for path in root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
        return result

    return run


def files_of(index: StandinIndex, **change: Any) -> dict[str, Any]:
    url = f"{index.url.replace('simple', 'files')}/{WHEEL}?{SIGNATURE}"
    file = {"name": "a", "version": "1", "file": "a.whl", "url": url, "sha256": digest(index.files[WHEEL])}
    return {"files": [{**file, **change}]}


def sources_of(index: StandinIndex) -> dict[str, Any]:
    return {"sources": [{"lock": index.lock(), "index_urls": [index.url]}]}


def test_files(run: Run, index: StandinIndex) -> None:
    checked = run(mirror_files, files_of(index), check=True)
    applied = run(mirror_files, files_of(index))
    plain = f"{index.url.replace('simple', 'files')}/{WHEEL}"
    assert applied["actions"] == checked["actions"] and applied["actions"][0].startswith(f"fetch {plain} (")
    assert f"/files/{WHEEL}?{SIGNATURE}" in index.asked
    assert not run(mirror_files, files_of(index))["changed"]


def test_an_address_without_secrets_is_shown_as_it_is(run: Run, index: StandinIndex) -> None:
    index.signature = ""
    url = f"{index.url.replace('simple', 'files')}/{WHEEL}"
    result = run(mirror_files, files_of(index, url=url))
    assert result["actions"][0].startswith(f"fetch {url} (") and result["invocation"]["module_args"]["files"][0]["url"] == url


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "but the answer was 403"),
    ({"size": 5}, "access was denied (403)"),
    ({"url": f"http://127.0.0.1:9/a?{SIGNATURE}"}, "http://127.0.0.1:9/a was to be fetched"),
    ({"url": f"http://127.0.0.1:9/a?{SIGNATURE}", "size": 5}, "was to be fetched from http://127.0.0.1:9/a"),
    ({"url": f"http://127.0.0.1:9/a?{SIGNATURE}", "sha256": ""}, "comes from http://127.0.0.1:9/a without a sha256"),
    ({"url": f"http://me:{SECRET}@127.0.0.1:9/a"}, "has a user or password in it"),
    ({"url": f"http://me:{SECRET}@127.0.0.1:9/a", "sha256": ""}, "has a user or password in it"),
    ({"url": f"ftp://me:{SECRET}@127.0.0.1:9/a?{SIGNATURE}"}, "it is 'ftp://127.0.0.1:9/a'"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_files_that_cannot_be_had(run: Run, index: StandinIndex, change: dict[str, Any], words: str) -> None:
    index.signature = "another"
    assert words in run(mirror_files, files_of(index, **change))["msg"]


def test_wheels(run: Run, index: StandinIndex, root: Path) -> None:
    checked = run(mirror_wheels, sources_of(index), check=True)
    applied = run(mirror_wheels, sources_of(index))
    plain = f"{index.url.replace('simple', 'files')}/{WHEEL}"
    assert applied["actions"] == checked["actions"] and applied["actions"][0].startswith(f"fetch {plain} (")
    index.asked.clear()
    assert not run(mirror_wheels, sources_of(index))["changed"] and index.asked == []
    # A signature does for a while only: where the file is needed again, so is another.
    sha256 = digest(index.files[WHEEL])
    (root / "blobs" / "sha256" / sha256[:2] / sha256).unlink()
    index.signature = f"{SIGNATURE}&again={SECRET}"
    assert run(mirror_wheels, sources_of(index))["changed"] and f"/files/{WHEEL}?{index.signature}" in index.asked
    assert not run(mirror_wheels, sources_of(index))["changed"]


def test_what_an_earlier_version_has_kept_goes(run: Run, index: StandinIndex, root: Path) -> None:
    run(mirror_wheels, sources_of(index))
    answer = next((root / "locks").iterdir())
    entries = json.loads(answer.read_text())
    answer.write_text(json.dumps([{"url": f"{entries[0].pop('url')}?{SIGNATURE}", **entries[0]}]))
    index.asked.clear()
    assert not run(mirror_wheels, sources_of(index))["changed"] and index.asked == []


def test_wheels_that_are_not_of_their_project(run: Run, index: StandinIndex) -> None:
    index.files = {"plain-1.0-x.whl": b"x", WHEEL: index.files[WHEEL]}
    assert "but a name like name-version" in run(mirror_wheels, sources_of(index))["msg"]


def test_wheels_that_are_no_longer_signed(run: Run, index: StandinIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    page = index.page("plain")
    index.signature = "another"
    monkeypatch.setattr(index, "page", lambda _project: page)
    assert "access was denied (403)" in run(mirror_wheels, sources_of(index))["msg"]


INPUTS: dict[str, Any] = {
    **{key: [] for key in ("wheels", "artefacts", "apt", "rpm")},
    "network": {"source": "open"},
    "apt_suite": "llm",
    "apt_component": "main",
    "apt_architectures": ["amd64"],
    "apt_key_dir": "/etc/llm",
    "apt_key": "",
    "os_family": "Debian",
}


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("artefacts", {"url": f"https://me:{SECRET}@h/a?{SIGNATURE}"}),
        ("artefacts", {"name": "a", "version": "1", "url": f"https://h/a?{SIGNATURE}"}),
        ("artefacts", {"name": "a", "version": "1", "url": f"https://h/a b?{SIGNATURE}"}),
        ("artefacts", {"name": "a", "version": "1", "url": f"ftp://me:{SECRET}@h/a"}),
        ("artefacts", f"https://h/a?{SIGNATURE}"),
        ("artefacts", [f"https://h/a?{SIGNATURE}"]),
        ("wheels", {"index_urls": [f"https://me:{SECRET}@h/simple"]}),
        ("wheels", {"lock": "uv", "index_urls": [f"https://me:{SECRET}@h/simple"]}),
        ("wheels", {"lock": "uv", "index_urls": [f"https://h/simple?{SIGNATURE}"]}),
    ],
)
def test_inputs_of_the_role_that_are_refused(key: str, entry: Any) -> None:
    problems = package_problems({**INPUTS, key: [entry]})
    assert len(problems) == 1 and SECRET not in problems[0]
