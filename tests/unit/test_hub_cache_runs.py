"""The cache of huggingface_hub after runs that died, and with runs at once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import HubCache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import plan_present
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Plan
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_layout import NEXT, cache_of, client_file, present, read_all, request
from tests.unit.helpers.hub_repo import COMMIT, FILES, LATER, Repo


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.mark.parametrize("step", ["_lay_blob", "write_tree", "write_links", "write_ref", "remove_snapshot", "remove_links"])
def test_a_run_that_dies_between_steps_is_finished_by_the_next(
    store: Store, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path)
    present(asked, store)
    client_file(cache_of(asked), COMMIT, "extra.bin", b"of a client")
    NEXT.fetch(store)

    class DeathError(Exception):
        """The power went."""

    def die(*_arguments: Any) -> None:
        raise DeathError

    owner = Plan if step.startswith("_") else HubCache
    with monkeypatch.context() as patch, store.locked():
        patch.setattr(owner, step, die)
        plan = plan_present(replace(asked, alone=True), store, NEXT.supply(store))
        if step == "remove_snapshot":
            plan.gone, plan.unlink = [COMMIT], {}
        with pytest.raises(DeathError):
            plan.apply()
    # A reader sees the old model or the new one, each whole; and nothing that either needs can have been freed.
    cache = cache_of(asked)
    shown = cache.commit_of("main")
    assert shown in (COMMIT, LATER)
    found = read_all(cache.snapshot_path(shown))
    assert {name: found.get(name) for name in FILES} == dict(Repo().files if shown == COMMIT else NEXT.files)
    assert cache.temp.exists()
    again = Store(str(store.root))
    present(replace(asked, alone=True), again, NEXT)
    assert read_all(cache.snapshot_path(LATER)) == dict(NEXT.files)
    assert read_all(cache.snapshot_path(COMMIT)) == {"extra.bin": b"of a client"}
    assert not cache.temp.exists()


RUN = """
import sys
from pathlib import Path
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_repo import Repo
from tests.unit.helpers.hub_layout import present, request
store, folder = Store(sys.argv[1] + "/store"), Path(sys.argv[1])
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import plan_present
for _again in range(5):
    Repo().fetch(store)
    with store.locked():
        plan = plan_present(request(folder), store, Repo().supply(store))
        plan.apply()
print("done")
"""


def test_runs_at_once_take_turns(store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, "."])}
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _n in range(3)]
    for run in runs:
        assert run.communicate(timeout=60) == ("done\n", "")
    assert present(request(tmp_path), store).actions == []
    assert read_all(cache_of(request(tmp_path)).snapshot_path(COMMIT)) == FILES
