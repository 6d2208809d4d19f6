"""The module itself, called as Ansible calls it: what it returns, refuses and leaves alone in check mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.modules import ollama_model
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import write_gguf

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    source = write_gguf(tmp_path / "tiny.gguf")
    return {"name": "tiny", "source": f"file:{source}", "store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models")}


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, ollama_model)


def test_check_apply_and_again(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    checked = call(params, check=True)
    assert checked["changed"] and not (tmp_path / "store").exists() and not (tmp_path / "models").exists()
    needs = checked.pop("needs")
    assert {need["folder"] for need in needs} <= {params["store"], params["models_dir"]} and all(need["size"] for need in needs)
    assert sum(need["size"] for need in needs if need["content"]) == checked["bytes_copied"]
    applied = call(params)
    assert applied == checked
    again = call(params)
    assert (again["changed"], again["actions"], again["bytes_copied"]) == (False, [], 0)
    assert again["diff"]["before"] == again["diff"]["after"]
    assert {key: again[key] for key in ("name", "digest", "manifest_digest", "blobs")} == {
        key: applied[key] for key in ("name", "digest", "manifest_digest", "blobs")
    }
    assert call({**params, "state": "absent"})["changed"]
    assert not call({**params, "state": "absent"})["changed"]


def test_what_is_returned_is_documented(call: Call, params: dict[str, Any]) -> None:
    result = call(params, check=True)
    documented = yaml.safe_load(ollama_model.RETURN)
    assert set(result) - {"changed", "diff", "warnings"} == set(documented)
    assert set(result["blobs"][0]) == set(documented["blobs"]["contains"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../etc/passwd"}, "A model name must look like"),
        ({"name": "a\nb"}, "A model name must look like"),
        ({"source": "hf:org/name"}, "add '#' and the name of the file"),
        ({"source": "hf:org/name#a.bin"}, "name a file that ends in '.gguf'"),
        ({"source": "hf:org/name#a-00001-of-00003.gguf"}, "one part of a split GGUF"),
        ({"source": "file:/no/such.gguf"}, "The GGUF file /no/such.gguf does not exist"),
        ({"source": "file:/dev/null"}, "not a regular file"),
        ({"source": None}, "missing: source"),
        ({"sha256": "abc"}, "must be 64 hexadecimal digits"),
        ({"sha256": "0" * 64}, "was expected"),
        ({"store": "relative/../.."}, "must be an absolute path"),
        ({"models_dir": "/"}, "must be an absolute path"),
        ({"verify_days": -5}, "verify_days must be a whole number of days"),
        ({"parameters": {"num_ctx": "many"}}, "num_ctx must be a whole number"),
        ({"template": "{{ .Prompt"}, "do not pair"),
        ({"owner": "no-such-user-here"}, "The user 'no-such-user-here' does not exist"),
        ({"group": "no-such-group-here"}, "The group 'no-such-group-here' does not exist"),
        ({"state": "gone"}, "must be one of"),
    ],
)
def test_one_sentence_before_anything_changes(
    call: Call,
    params: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call({key: value for key, value in {**params, **change}.items() if value is not None})
    assert result["failed"] and words in result["msg"] and "Traceback" not in result["msg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.gguf"]


def test_an_account_that_is_yet_to_be_made_is_no_error_in_check_mode(call: Call, params: dict[str, Any]) -> None:
    assert call({**params, "owner": "no-such-user-here", "group": "12345"}, check=True)["changed"]


def test_two_calls_at_once_make_one_model(params: dict[str, Any], tmp_path: Path) -> None:
    source = Path(params["source"][5:])
    source.chmod(0o664)
    with source.open("r+b") as stream:
        stream.truncate(32 << 20)
    code = (
        "import json, sys\n"
        "from ansible.module_utils.testing import patch_module_args\n"
        "from ansible_collections.onprem.llm.plugins.modules import ollama_model\n"
        "with patch_module_args(json.loads(sys.argv[1])):\n"
        "    ollama_model.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, "-c", code, json.dumps({**params, "name": name})] for name in ("tiny", "tiny", "twin", "tiny")]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for command in commands]
    results = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0, 0]
    assert sorted(result["bytes_copied"] for result in results) == [0, 0, 0, 32 << 20]
    assert sum(result["changed"] for result in results) == 2
    files = [path for path in (tmp_path / "models" / "blobs").iterdir() if path.stat().st_size == 32 << 20]
    assert len(files) == 1 and files[0].stat().st_nlink == 2
