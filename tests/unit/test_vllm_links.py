"""The folder of all models of vLLM, which belongs to the account that serves them: links, and who may read what is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder import make_folder
from tests.unit.helpers.model_folder_writer import write_folder
from tests.unit.helpers.vllm_model_case import Call, params_below, vllm_call


@pytest.fixture
def params(tmp_path: Path) -> dict[str, Any]:
    write_folder(tmp_path / "source")
    return params_below(tmp_path)


@pytest.fixture
def call(call_module: Call) -> Call:
    return vllm_call(call_module)


def test_a_link_that_is_planted_during_a_run_leads_nowhere(
    call: Call, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").mkdir()
    unfinished, link = tmp_path / "models" / ".new-tiny", os.link

    def planting(source: Path, place: Path) -> None:
        if unfinished.is_dir() and not unfinished.is_symlink():
            unfinished.rename(tmp_path / "models" / "aside")
            unfinished.symlink_to(tmp_path / "victim")
        link(source, place)

    monkeypatch.setattr(os, "link", planting)
    call(params)
    assert unfinished.is_symlink() or not unfinished.exists()
    assert list((tmp_path / "victim").iterdir()) == [] and len(list((tmp_path / "models" / "aside").iterdir())) > 1


def test_a_link_that_takes_the_place_of_a_model_gives_nothing_away(
    call: Call, params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(params)
    follows: list[bool] = []
    monkeypatch.setattr(os, "chown", lambda _path, *_owner, follow_symlinks=True: follows.append(follow_symlinks))
    assert call({**params, "owner": "54321"})["actions"] == [f"change the owner of {tmp_path / 'models' / 'tiny'}"]
    assert follows == [False]


def test_folders_are_for_all_to_read_whatever_the_umask_is(call: Call, params: dict[str, Any], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        call({**params, "models_dir": str(tmp_path / "a" / "b" / "models")})
    finally:
        os.umask(before)
    folders = [path for path in [tmp_path / "a", *(tmp_path / "a").rglob("*")] if path.is_dir()]
    assert len(folders) == 4 and {path.stat().st_mode & 0o777 for path in folders} == {0o755}


def test_a_new_folder_is_new(tmp_path: Path) -> None:
    make_folder(tmp_path / "folder", (-1, -1))
    (tmp_path / "link").symlink_to("folder")
    for name in ("folder", "link"):
        with pytest.raises(FileExistsError):
            make_folder(tmp_path / name, (-1, -1))
