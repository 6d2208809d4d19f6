"""What is refused and told inside WSL, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.wsl import wsl_advice, wsl_problems

WSL2 = "5.15.153.1-microsoft-standard-WSL2"
# As WSL writes it; a drive of Windows is named by its letter.
MOUNTS = """\
/dev/sdc / ext4 rw,relatime,discard 0 0
none /mnt/wslg tmpfs rw,relatime 0 0
C:\\134 /mnt/c 9p rw,noatime,aname=drvfs;path=C:\\134;uid=1000 0 0
/dev/sdd /mnt/e ext4 rw,relatime 0 0
drvfs /data drvfs rw 0 0
D:\\134 /my\\040drive 9p rw 0 0
"""


def problems(kernel: str = WSL2, systemd: bool = True, mounts: str = MOUNTS, **paths: str) -> list[str]:
    host = {
        "kernel": kernel,
        "systemd": systemd,
        "mounts": mounts,
        "paths": paths or {"base_data_dir": "/var/lib/llm"},
    }
    return wsl_problems(host)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kernel": "4.4.0-19041-Microsoft"}, "wsl --set-version DISTRIBUTION 2"),
        ({"systemd": False}, "put the lines '[boot]' 'systemd=true' into /etc/wsl.conf"),
        ({"base_data_dir": "/mnt/c/llm"}, "base_data_dir is /mnt/c/llm, on a drive of Windows (9p)"),
        ({"base_data_dir": "/mnt/c"}, "on a drive of Windows"),
        ({"llm_store_dir": "/data/store"}, "llm_store_dir is /data/store, on a drive of Windows (drvfs)"),
        ({"base_data_dir": "/var/../mnt/c/x"}, "on a drive of Windows"),
        ({"base_data_dir": "/my drive/llm"}, "on a drive of Windows (9p)"),
        # A drive that is not mounted now: the name tells.
        ({"base_data_dir": "/mnt/d/llm"}, "on a drive of Windows (/mnt/d)"),
        ({"base_data_dir": "/mnt/d/llm", "mounts": ""}, "on a drive of Windows (/mnt/d)"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    found = problems(**changes)
    assert len(found) == 1 and words in found[0], found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"base_data_dir": "/mnt/e/llm"},
        {"base_data_dir": "/mnt/models"},
        {"base_data_dir": "/mnt/cache"},
        {"kernel": "6.12.107+deb13-amd64", "systemd": False, "base_data_dir": "/mnt/c/llm"},
    ],
)
def test_what_is_not(changes: dict[str, Any]) -> None:
    assert problems(**changes) == []


def test_what_a_person_should_know() -> None:
    idle, reach = wsl_advice(WSL2, 8443)
    assert "'[wsl2]' 'vmIdleTimeout=-1' '[general]' 'instanceIdleTimeout=-1'" in idle and ".wslconfig" in idle
    assert "https://localhost:8443" in reach
    assert wsl_advice("6.12.107+deb13-amd64", 8443) == []
