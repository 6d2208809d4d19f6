"""``hub_model`` as Ansible calls it, against the stand-in of the Hub: what is fetched, asked, told, and left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.modules import hub_model
from tests.standin_upstream import Upstream

Call = Callable[..., dict[str, Any]]

FILES = {
    "config.json": b'{"architectures": ["Tiny"]}',
    "README.md": b"# Tiny\n",
    "empty.txt": b"",
    "model.safetensors": bytes(range(256)) * 4000,
    "onnx/model.onnx": b"other weights" * 30000,
}


def write_repo(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = root / "hub" / "org" / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Upstream]:
    write_repo(tmp_path / "upstream", FILES)
    with Upstream(tmp_path / "upstream") as upstream:
        yield upstream


@pytest.fixture
def params(tmp_path: Path, up: Upstream) -> dict[str, Any]:
    return {
        "source": "hf:org/tiny",
        "endpoint": up.hub_url,
        "cache_dir": str(tmp_path / "hub"),
        "store": str(tmp_path / "store"),
        "retries": 1,
        "timeout": 5,
    }


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, hub_model)


def requests_of(up: Upstream) -> list[str]:
    """Return what was asked since the last time, and forget it."""
    found = [seen.path for seen in up.requests]
    requests_of.seen = getattr(requests_of, "seen", {})  # type: ignore[attr-defined]
    start = requests_of.seen.get(id(up), 0)  # type: ignore[attr-defined]
    requests_of.seen[id(up)] = len(found)  # type: ignore[attr-defined]
    return found[start:]


def read_all(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_check_apply_and_again(call: Call, params: dict[str, Any], up: Upstream, tmp_path: Path) -> None:
    checked = call(params, check=True)
    assert checked["changed"] and checked["bytes_fetched"] == sum(map(len, FILES.values()))
    assert not (tmp_path / "store").exists() and not (tmp_path / "hub").exists()
    assert len(requests_of(up)) == 2
    applied = call(params)
    assert {key: applied[key] for key in ("actions", "diff", "commit", "folder", "bytes_copied")} == {
        key: checked[key] for key in ("actions", "diff", "commit", "folder", "bytes_copied")
    }
    assert applied["bytes_fetched"] == checked["bytes_fetched"]
    assert read_all(applied["folder"]) == FILES
    assert all(file["digest"].startswith("sha256:") for file in applied["files"])
    requests_of(up)
    again = call(params)
    assert (again["changed"], again["actions"], again["bytes_fetched"], again["bytes_copied"]) == (False, [], 0, 0)
    assert again["diff"]["before"] == again["diff"]["after"] == applied["diff"]["after"]
    assert again["files"] == applied["files"]
    assert requests_of(up) == ["/api/models/org/tiny/revision/main"]
    pinned = {**params, "source": f"hf:org/tiny@{applied['commit']}"}
    assert call(pinned) == {**again, "diff": {**again["diff"], **{side: unbranched(again["diff"][side]) for side in SIDES}}}
    assert call(pinned, check=True)["changed"] is False
    assert requests_of(up) == []
    assert call({**params, "state": "absent"}, check=True)["changed"]
    gone = call({**params, "state": "absent"})
    assert gone["changed"] and gone["commit"] == applied["commit"]
    assert not call({**params, "state": "absent"})["changed"]
    assert requests_of(up) == []


SIDES = ("before", "after")


def unbranched(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "branches"}, indent=2, sort_keys=True) + "\n"


def test_what_is_returned_is_documented(call: Call, params: dict[str, Any]) -> None:
    result = call(params, check=True)
    documented = yaml.safe_load(hub_model.RETURN)
    assert set(result) - {"changed", "diff", "warnings"} == set(documented)
    assert set(result["files"][0]) == set(documented["files"]["contains"])


def test_a_branch_that_moved_is_told_and_followed_when_asked(call: Call, params: dict[str, Any], up: Upstream, tmp_path: Path) -> None:
    first = call(params)
    write_repo(tmp_path / "upstream", {"README.md": b"# Tiny, second edition\n"})
    up.hub._newest.clear()
    requests_of(up)
    told = call(params)
    assert (told["changed"], told["commit"]) == (False, first["commit"])
    assert told["upstream_moved"] not in ("", first["commit"])
    assert requests_of(up) == ["/api/models/org/tiny/revision/main"]
    checked = call({**params, "update": True}, check=True)
    followed = call({**params, "update": True})
    assert checked["actions"] == followed["actions"] and checked["bytes_fetched"] == followed["bytes_fetched"] == 23
    assert (followed["changed"], followed["commit"], followed["upstream_moved"]) == (True, told["upstream_moved"], "")
    assert read_all(followed["folder"])["README.md"] == b"# Tiny, second edition\n"
    assert read_all(first["folder"]) == FILES
    alone = call({**params, "other_revisions": "remove"})
    assert alone["changed"] and not Path(first["folder"]).exists()
    assert not call({**params, "other_revisions": "remove"})["changed"]


def test_a_laid_out_branch_outlives_its_upstream(call: Call, params: dict[str, Any], up: Upstream) -> None:
    first = call(params)
    up.faults.add("status:code=404")
    again = call(params)
    assert (again["changed"], again["commit"]) == (False, first["commit"])
    assert "msg" in call({**params, "update": True})


def test_patterns_choose(call: Call, params: dict[str, Any]) -> None:
    some = {**params, "allow": ["*.json", "*.onnx"], "ignore": ["*.json"]}
    assert set(read_all(call(some)["folder"])) == {"onnx/model.onnx"}
    one = call({**params, "source": "hf:org/tiny#model.safetensors"})
    assert [file["name"] for file in one["files"]] == ["model.safetensors"]
    assert set(read_all(one["folder"])) == {"onnx/model.onnx", "model.safetensors"}
    assert not call(some)["changed"]
    gone = call({**some, "state": "absent"})
    assert gone["changed"] and set(read_all(one["folder"])) == {"model.safetensors"}


def test_rot_is_mended_by_age(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    first = call(params)
    weights = Path(first["folder"]) / "model.safetensors"
    blob = weights.resolve()
    status = blob.stat()
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(500_003)
        stream.write(b"!")
    os.utime(blob, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not call(params)["changed"]
    mended = call({**params, "verify_days": 0})
    assert mended["changed"] and read_all(first["folder"]) == FILES
    assert not call({**params, "verify_days": 0})["changed"]
    assert "verify_days must be a whole number of days" in call({**params, "verify_days": -5})["msg"]


@pytest.mark.parametrize("fault", ["drop:after=100000,times=50,path=*model.safetensors", "flip:times=50,path=*model.safetensors"])
def test_a_pull_that_fails_lays_nothing_out_and_the_next_one_ends_it(
    call: Call, params: dict[str, Any], up: Upstream, fault: str, tmp_path: Path
) -> None:
    up.faults.add(fault)
    assert "model.safetensors" in call({**params, "retries": 0})["msg"]
    assert not (tmp_path / "hub").exists()
    up.faults.clear()
    assert read_all(call(params)["folder"]) == FILES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "ollama:llama3"}, "must be a repository of the Hub"),
        ({"source": "file:/srv/model"}, "must be a repository of the Hub"),
        ({"source": "hf:../x"}, "must look like org/name"),
        ({"source": "hf:org/none"}, "There is no repository org/none"),
        ({"source": "hf:org/tiny@v9"}, "has no revision v9"),
        ({"source": "hf:org/tiny#none.gguf"}, "names a file that is not wanted or not there"),
        ({"allow": ["*.gguf"]}, "allow and ignore leave no file"),
        ({"cache_dir": "/"}, "must be an absolute path"),
        ({"owner": "no-such-user-here"}, "The user 'no-such-user-here' does not exist"),
    ],
)
def test_one_sentence_before_anything_changes(
    call: Call, params: dict[str, Any], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    assert words in call({**params, **change})["msg"]
    assert not (tmp_path / "store").exists() and not (tmp_path / "hub").exists()
