"""What tests of modules share."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer import failures
from tests.standin_upstream import Upstream
from tests.unit.helpers.site import Site, write_site
from tests.unit.helpers.whole_pull import WholePull

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  each test makes a folder of its own there, with an unforeseeable name
CallModule = Callable[..., dict[str, Any]]


@pytest.fixture
def call_module(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CallModule:
    """Return a function that runs a module's ``main()`` as Ansible does, and returns what it reports, warnings as plain texts."""

    def call(module: ModuleType, params: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        warnings: list[str] = []
        # Ansible keeps warnings for the whole process, which is one module's elsewhere.
        monkeypatch.setattr(AnsibleModule, "warn", lambda _self, warning: warnings.append(warning))
        with patch_module_args({**params, "_ansible_check_mode": check, "_ansible_diff": True}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        result.pop("invocation", None)
        return {**result, "warnings": warnings}

    return call


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a folder on another file system: every Linux has this one."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """Give a folder for the stand-in of the hubs, and what is in its one big file; nobody may change it."""
    root = tmp_path_factory.mktemp("site")
    return root, write_site(root)


@pytest.fixture
def pulled_site(content: tuple[Path, bytes]) -> Path:
    """Give the folder alone."""
    return content[0]


@pytest.fixture
def quick_upstream(pulled_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """Serve the folder, to clients that do not wait long between attempts."""
    monkeypatch.setattr(failures, "FIRST_WAIT_S", 0.01)
    with Upstream(pulled_site) as up:
        yield up


@pytest.fixture
def site(quick_upstream: Upstream, content: tuple[Path, bytes], tmp_path: Path) -> Site:
    """Give a store and what it can fetch file by file."""
    return Site(quick_upstream, Store(str(tmp_path / "store")), content[1])


@pytest.fixture
def pull(call_module: CallModule, quick_upstream: Upstream, tmp_path: Path) -> WholePull:
    """Give a pull of the whole."""
    return WholePull(call_module, quick_upstream, tmp_path)
