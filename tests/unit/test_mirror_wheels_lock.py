"""Wheels that a lock asks for: which are taken from an index, and what is remembered of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.modules import mirror_wheels
from ansible_collections.onprem.llm.tests.unit.helpers.standin_index import StandinIndex, digest, standin_index
from ansible_collections.onprem.llm.tests.unit.helpers.wheel_writer import wheel_bytes

Call = Callable[..., dict[str, Any]]
USABLE = ["demo-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "plain-1.0-py3-none-any.whl"]
USELESS = [
    "demo-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",
    "demo-1.0-cp312-cp312-macosx_10_12_x86_64.whl",
    "demo-1.0-cp312-cp312t-manylinux_2_28_x86_64.whl",
    "demo-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
]


@pytest.fixture
def call(call_module: Call) -> Call:
    return partial(call_module, mirror_wheels)


@pytest.fixture
def index() -> Iterator[StandinIndex]:
    files = {name: wheel_bytes(name.partition("-")[0], "1.0", body=name.encode()) for name in [*USABLE, *USELESS]}
    with standin_index(files) as index:
        yield index


@pytest.fixture
def params(tmp_path: Path, index: StandinIndex) -> dict[str, Any]:
    source = {"lock": index.lock(), "index_urls": [index.url], "machines": ["x86_64"], "pythons": ["3.12"]}
    return {"root": str(tmp_path / "mirror"), "retries": 0, "sources": [source]}


def answer_of(tmp_path: Path) -> Path:
    """Return the file in which the answer of the index is kept."""
    return next((tmp_path / "mirror" / "locks").iterdir())


def named(result: dict[str, Any]) -> list[str]:
    return [file["name"] for file in result["files"]]


def test_what_clients_can_install_is_fetched_once(call: Call, params: dict[str, Any], index: StandinIndex) -> None:
    checked = call(params, check=True)
    applied = call(params)
    assert named(applied) == USABLE and applied["actions"] == checked["actions"]
    index.asked.clear()
    assert not call(params)["changed"] and index.asked == []


def test_what_an_earlier_version_has_let_pass_is_left_out(call: Call, params: dict[str, Any], index: StandinIndex, tmp_path: Path) -> None:
    call(params)
    entries = [
        {"file": name, "digest": digest(index.files[name]), "url": f"{index.url}/{name}", "size": len(index.files[name])}
        for name in [*USABLE, *USELESS]
    ]
    answer_of(tmp_path).write_text(json.dumps(entries))
    index.asked.clear()
    again = call(params)
    assert named(again) == USABLE and not again["changed"] and index.asked == []


@pytest.mark.parametrize(("machine", "right"), [("amd64", "x86_64"), ("arm64", "aarch64")])
def test_a_machine_is_named_as_wheels_name_it(call: Call, params: dict[str, Any], index: StandinIndex, machine: str, right: str) -> None:
    params["sources"][0]["machines"] = ["x86_64", machine]
    refused = call(params)
    assert refused["failed"] and index.asked == []
    assert refused["msg"] == f"machines of lock has '{machine}', which wheels call {right}: correct it."


@pytest.mark.parametrize("narrow", [{"machines": ["ppc64le"]}, {"pythons": ["3.11"]}])
def test_a_pin_of_which_nothing_is_left_is_refused(call: Call, params: dict[str, Any], narrow: dict[str, Any], tmp_path: Path) -> None:
    params["sources"][0].update(narrow)
    for check in (True, False):
        refused = call(params, check=check)
        assert refused["failed"] and "lock asks for demo, but no wheel of it is for" in refused["msg"]
        assert next(iter(narrow.values()))[0] in refused["msg"]
    assert not (tmp_path / "mirror" / "locks").exists()


def test_a_pin_for_some_clients_alone_may_fall_away(call: Call, params: dict[str, Any], index: StandinIndex) -> None:
    source = params["sources"][0]
    source.update(lock=index.lock().replace("demo==1.0", "demo==1.0 ; platform_machine == 'x86_64'"), machines=["aarch64"])
    assert named(call(params)) == ["plain-1.0-py3-none-any.whl"]
    index.asked.clear()
    assert not call(params)["changed"] and index.asked == []


def test_a_lock_of_which_nothing_is_left_is_refused(call: Call, params: dict[str, Any], index: StandinIndex) -> None:
    del index.files["plain-1.0-py3-none-any.whl"]
    lock = index.lock().replace("demo==1.0", "demo==1.0 ; platform_machine == 'x86_64'")
    params["sources"][0].update(lock=lock, machines=["ppc64le"])
    assert "leave none of the files of lock" in call(params)["msg"]


def test_an_answer_of_an_earlier_version_that_lacks_a_pin_is_asked_again(
    call: Call, params: dict[str, Any], index: StandinIndex, tmp_path: Path
) -> None:
    call(params)
    answer = answer_of(tmp_path)
    answer.write_text(json.dumps([entry for entry in json.loads(answer.read_text()) if not entry["file"].startswith("demo-")]))
    index.asked.clear()
    assert named(call(params)) == USABLE and "/simple/demo/" in index.asked
    index.asked.clear()
    assert not call(params)["changed"] and index.asked == []


GOOD = {"file": USABLE[1], "digest": "0" * 64, "url": "http://h/x", "size": 1}


@pytest.mark.parametrize(
    "text",
    [
        *("{", "{}", "null", "5", '"x"', "[1]", "[[]]", "[{}]", "[" * 100_000, "\x00", "[NaN]"),
        *(
            json.dumps([{**GOOD, key: value}])
            for key, value in (("size", "1"), ("size", True), ("size", -1), ("size", 1e999), ("digest", "x"))
        ),
        *(
            json.dumps([{**GOOD, key: value}])
            for key, value in (("digest", 5), ("url", None), ("url", "x"), ("file", "../x.whl"), ("file", 5))
        ),
    ],
)
def test_a_damaged_answer_is_one_sentence(call: Call, params: dict[str, Any], tmp_path: Path, text: str) -> None:
    call(params)
    answer = answer_of(tmp_path)
    answer.write_text(text)
    result = call(params)
    assert result["failed"] and f"{answer} should say which files a lock asks for" in result["msg"] and "remove it" in result["msg"]
    answer.unlink()
    assert not call(params)["changed"]


def test_an_answer_that_is_no_text_is_one_sentence(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    call(params)
    answer_of(tmp_path).write_bytes(b"\xff\xfe[]\x80")
    assert "cannot be read as such" in call(params)["msg"]
