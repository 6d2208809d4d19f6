"""What the module ``host_info`` makes of files of the kernel and the distribution: tables of texts and of trees of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import listeners
from ansible_collections.onprem.llm.plugins.module_utils.host import cpu, disks, ec2, memory, pci, system
from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host
from tests.unit.helpers.host_tree import FIXTURES, card, plant

HOSTS = FIXTURES / "host"
CAPTURED = HOSTS / "captured-container"
GIB = 1 << 30


@pytest.mark.parametrize(
    ("fixture", "model", "cores", "threads", "flags"),
    [
        ("captured-container/proc/cpuinfo", "Intel(R) Xeon(R) Processor", 2, 2, {"avx2": True, "avx512f": True, "amx_tile": True}),
        (
            "documented-cpuinfo-two-threads-a-core.txt",
            "AMD Ryzen 9 5950X 16-Core Processor",
            4,
            8,
            {"avx2": True, "avx512f": False, "amx_tile": False},
        ),
        (
            "documented-cpuinfo-graviton.txt",
            "ARM implementer 0x41 part 0xd40",
            2,
            2,
            {"avx2": False, "avx512f": False, "amx_tile": False},
        ),
    ],
)
def test_a_processor(fixture: str, model: str, cores: int, threads: int, flags: dict[str, bool]) -> None:
    assert cpu.parse((HOSTS / fixture).read_text()) == {"model": model, "cores": cores, "threads": threads, "flags": flags}


def test_sysfs_knows_the_cores_and_nodes_that_cpuinfo_does_not(tmp_path: Path) -> None:
    topology = {f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": siblings for n, siblings in enumerate(["0-1\n", "0-1\n"])}
    nodes = {f"sys/devices/system/node/node{n}/meminfo": "" for n in range(2)}
    text = (HOSTS / "documented-cpuinfo-graviton.txt").read_text()
    found = cpu.processor(Host(plant(tmp_path, {"proc/cpuinfo": text, **topology, **nodes, "sys/devices/system/cpu/cpufreq/x": ""})))
    assert (found["cores"], found["threads"], found["numa_nodes"]) == (1, 2, 2)


def test_a_processor_that_nothing_is_known_of(tmp_path: Path) -> None:
    host = Host(tmp_path)
    found = cpu.processor(host)
    assert (found["model"], found["cores"], found["threads"], found["numa_nodes"]) == (None, None, None, 1)
    assert set(host.reasons) == {"cpu.model", "cpu.cores", "cpu.threads"}


MEMINFO = (
    "MemTotal: 24731708 kB\nMemFree: 20043768 kB\nMemAvailable: 23379492 kB\nSwapTotal: 1024 kB\nSwapFree: 512 kB\nHugePages_Total: 3\n"
)
TOTAL, AVAILABLE = 24731708 * 1024, 23379492 * 1024


@pytest.mark.parametrize(
    ("files", "expected", "unknown"),
    [
        ({"proc/meminfo": MEMINFO}, (TOTAL, AVAILABLE, 1 << 20, 1 << 19), []),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "max\n"}, (TOTAL, AVAILABLE, 1 << 20, 1 << 19), []),
        (
            {"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": f"{8 * GIB}\n", "sys/fs/cgroup/memory.current": f"{3 * GIB}\n"},
            (8 * GIB, 5 * GIB, 1 << 20, 1 << 19),
            [],
        ),
        (
            {"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"},
            (TOTAL, AVAILABLE, 1 << 20, 1 << 19),
            [],
        ),
        ({"proc/meminfo": "MemTotal: many kB\nnonsense\n"}, (None,) * 4, ["available", "swap_free", "swap_total", "total"]),
        ({}, (None,) * 4, ["available", "swap_free", "swap_total", "total"]),
    ],
)
def test_memory(tmp_path: Path, files: dict[str, str], expected: tuple[Any, ...], unknown: list[str]) -> None:
    host = Host(plant(tmp_path, files))
    found = memory.memory(host)
    assert tuple(found[key] for key in ("total", "available", "swap_total", "swap_free")) == expected
    assert sorted(host.reasons) == [f"memory.{key}" for key in unknown]


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/var/lib/llm", "/", "overlay"),
        ("/srv/python", "/srv/python", "ext4"),
        ("/srv/python/x", "/srv/python", "ext4"),
        ("/srv/pythons", "/", "overlay"),
        ("/run/x", "/run", "tmpfs"),
        ("/", "/", "overlay"),
    ],
)
def test_the_mount_of_a_path(path: str, point: str, kind: str) -> None:
    mount = disks.mount_of(path, disks.parse_mounts((CAPTURED / "proc/self/mountinfo").read_text()))
    assert mount and (mount.point, mount.kind) == (point, kind)


WSL_MOUNTS = (
    "60 50 8:32 / / rw,relatime - ext4 /dev/sdc rw\n"
    "90 60 0:70 / /mnt/c rw,noatime - 9p C:\\134 rw,aname=drvfs;path=C:\\\n"
    "91 60 8:48 / /data\\040of\\040us rw - ext4 /dev/sdd rw\n"
    "92 60 8:49 / /data\\040of\\040us rw - xfs /dev/sde rw\n"
    "what is this\n"
)


def test_mounts_of_windows_names_with_spaces_and_one_over_another() -> None:
    mounts = disks.parse_mounts(WSL_MOUNTS)
    assert len(mounts) == 4
    drive, hidden = disks.mount_of("/mnt/c/models", mounts), disks.mount_of("/data of us/x", mounts)
    assert drive and (drive.kind, drive.source) == ("9p", "C:\\")
    assert hidden and (hidden.kind, hidden.source) == ("xfs", "/dev/sde")
    assert disks.mount_of("/x", []) is None


@pytest.mark.parametrize(
    ("files", "rotational"),
    [
        ({"sys/dev/block/8:32/queue/rotational": "1\n"}, True),
        ({"sys/dev/block/8:32/queue/rotational": "0\n"}, False),
        ({}, None),
    ],
)
def test_a_disk_that_turns(tmp_path: Path, files: dict[str, str], rotational: bool | None) -> None:
    host = Host(plant(tmp_path, {"proc/self/mountinfo": WSL_MOUNTS, "srv/x": "", **files}))
    (found,) = disks.disks(host, ["/srv/models/a"])
    assert (found["mount"], found["exists"], found["rotational"]) == ("/", False, rotational)
    assert found["size"] > found["free"] > 0
    assert ("disks.0.rotational" in host.reasons) == (rotational is None)


def test_a_partition_turns_as_its_disk_does(tmp_path: Path) -> None:
    plant(tmp_path, {"sys/devices/sda/queue/rotational": "1\n", "sys/devices/sda/sda1/partition": "1\n", "sys/dev/block/x": ""})
    (tmp_path / "sys/dev/block/8:1").symlink_to(tmp_path / "sys/devices/sda/sda1")
    assert disks.is_rotational(Host(tmp_path), "8:1") is True


def test_a_link_leads_to_the_file_system_of_its_end(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/self/mountinfo": WSL_MOUNTS, "data of us/models/x": ""})
    (tmp_path / "models").symlink_to("data of us/models")
    (found,) = disks.disks(Host(tmp_path), ["/models"])
    assert (found["mount"], found["exists"]) == ("/data of us", True)


def test_disks_without_mounts_have_reasons(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (found,) = disks.disks(host, ["/x"])
    assert (found["mount"], found["device"], found["filesystem"], found["rotational"]) == (None, None, None, None)
    assert {"disks.0.mount", "disks.0.device", "disks.0.filesystem", "disks.0.rotational"} == set(host.reasons)


@pytest.mark.parametrize(
    ("kernel", "version"),
    [
        ("5.15.167.4-microsoft-standard-WSL2", 2),
        ("6.6.87.2-microsoft-standard-WSL2+", 2),
        ("6.1.21.2-Microsoft-WSL2-custom", 2),
        ("6.1.21-my-Microsoft-build-WSL2", 2),
        ("4.19.121-microsoft-standard", 2),
        ("6.6.36.3-microsoft-custom+", 2),
        ("4.4.0-19041-Microsoft", 1),
        ("4.4.0-Microsoft", 1),
        ("6.12.43-generic", None),
        ("6.12.107+deb13-amd64", None),
        ("6.8.0-1029-azure", None),
        ("6.1.150-174.273.amzn2023.x86_64", None),
    ],
)
def test_windows_below(kernel: str, version: int | None) -> None:
    assert system.wsl_version(kernel) == version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ((CAPTURED / "etc/os-release").read_text(), ("debian", "13", "Debian GNU/Linux 13 (trixie)")),
        ('NAME="Amazon Linux"\nVERSION_ID="2"\nID="amzn"\nPRETTY_NAME="Amazon Linux 2"\n', ("amzn", "2", "Amazon Linux 2")),
        ("ID=debian\n# a comment=1\nPRETTY_NAME='Debian forky/sid'\n", ("debian", None, "Debian forky/sid")),
        ('ID="broken\n', ('"broken', None, None)),
        ("", (None, None, None)),
    ],
)
def test_a_distribution(tmp_path: Path, text: str, expected: tuple[str | None, ...]) -> None:
    host = Host(plant(tmp_path, {"etc/os-release": text}))
    found = system.system(host)
    assert (found["id"], found["version_id"], found["name"]) == expected
    assert {path for path in host.reasons if path.startswith("os.")} == {
        f"os.{key}" for key in ("id", "version_id", "name") if found[key] is None
    }


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, None),
        ({"run/systemd/container": "docker\n"}, "docker"),
        ({"run/systemd/container": "wsl\n"}, None),
        ({"proc/1/environ": "PATH=/bin\0container=lxc\0"}, "lxc"),
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
    ],
)
def test_a_container(tmp_path: Path, files: dict[str, str], kind: str | None) -> None:
    assert system.container(Host(plant(tmp_path, files))) == kind


VIRTUAL = "flags : fpu hypervisor\n"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, None),
        ({"usr/bin/systemd-detect-virt": "echo kvm"}, "kvm"),
        ({"usr/bin/systemd-detect-virt": "echo none; exit 1", "proc/cpuinfo": VIRTUAL}, None),
        ({"usr/bin/systemd-detect-virt": "echo Usage: it is broken", "proc/cpuinfo": VIRTUAL}, "other"),
        ({"proc/cpuinfo": VIRTUAL, "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, "amazon"),
        ({"proc/cpuinfo": VIRTUAL, "sys/class/dmi/id/sys_vendor": "QEMU\n"}, "kvm"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "g5g.xlarge\n"}, "amazon"),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "g5g.metal\n"}, None),
        ({"sys/class/dmi/id/sys_vendor": "Microsoft Corporation\n", "sys/class/dmi/id/product_name": "Surface\n"}, None),
    ],
)
def test_a_virtual_machine(tmp_path: Path, files: dict[str, str], kind: str | None) -> None:
    assert system.virtual_machine(Host(plant(tmp_path, files))) == kind


EFI = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.mark.parametrize(
    ("files", "expected", "reason"),
    [
        ({}, False, ""),
        ({"run/systemd/container": "docker"}, None, "does not see"),
        ({EFI: "\x06\0\0\0\x01"}, True, ""),
        ({EFI: "\x06\0\0\0\0"}, False, ""),
        ({EFI: "\x06"}, None, "not be mounted"),
        ({"sys/firmware/efi/runtime": ""}, None, "not be mounted"),
    ],
)
def test_secure_boot(tmp_path: Path, files: dict[str, str], expected: bool | None, reason: str) -> None:
    host = Host(plant(tmp_path, files))
    assert system.secure_boot(host) is expected
    assert reason in host.reasons.get("secure_boot", "") and bool(reason) == ("secure_boot" in host.reasons)


@pytest.mark.parametrize("place", ["lib/modules/6.1.0-1/build", "usr/src/linux-headers-6.1.0-1", "usr/src/kernels/6.1.0-1"])
def test_headers_are_those_of_the_running_kernel(tmp_path: Path, place: str) -> None:
    host = Host(plant(tmp_path, {f"{place}/Makefile": ""}))
    assert system.kernel_headers(host, "6.1.0-1") and not system.kernel_headers(host, "6.1.0-2")


def test_the_bus(tmp_path: Path) -> None:
    cards = {
        **card("0000:01:00.0", "10de", "2330", "030200"),
        **card("0000:02:00.0", "10de", "22a3", "068000"),
        **card("0000:03:00.0", "1002", "74a1", "120000"),
        **card("0000:04:00.0", "1a03", "2000", "030000"),
        **card("0000:05:00.0", "10de", "22ba", "040300"),
        **card("0000:06:00.0", "8086", "1572", "020000"),
        "sys/bus/pci/devices/0000:07:00.0/vendor": "garbage",
    }
    found = pci.devices(Host(plant(tmp_path, cards)))
    assert [one.address[5:7] for one in found if one.is_gpu] == ["01", "03"]
    assert [one.address[5:7] for one in found if one.is_nvswitch] == ["02"]
    assert [(one["vendor_id"], one["class"]) for one in pci.displays(found)] == [("10de", "030200"), ("1002", "120000"), ("1a03", "030000")]


def test_who_listens_is_read_from_what_the_kernel_prints() -> None:
    found = listeners.parse_sockets((CAPTURED / "proc/net/tcp").read_text())
    assert [(one.port, one.address) for one in found] == [
        (8443, "0.0.0.0"),  # noqa: S104  what a server in the fixture listens on
        (9000, "127.0.0.1"),
        (36115, "127.0.0.11"),
        (9001, "127.0.0.2"),
    ]
    line = "   0: 00000000000000000000000001000000:1F90 " + "0" * 32 + ":0000 0A 0:0 00:0 0 33 0 4711 1 0 100 0 0 10 0\n"
    (six,) = listeners.parse_sockets("heading\n" + line + "   1: nonsense\n")
    assert (six.port, six.address, six.inode, six.uid) == (8080, "::1", "4711", 33)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/ollama.service\n", "ollama.service"),
        ("0::/system.slice/system-vllm.slice/vllm@a.service\n", "vllm@a.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_process(text: str, unit: str | None) -> None:
    assert listeners.unit_of(text) == unit


@pytest.mark.parametrize(
    ("dmi", "amazon"),
    [
        ({}, False),
        ({"sys_vendor": "Dell Inc."}, False),
        ({"sys_vendor": "Amazon EC2"}, True),
        ({"board_asset_tag": "i-0123456789abcdef0"}, True),
        ({"sys_vendor": "Xen", "bios_version": "4.11.amazon"}, True),
        ({"sys_vendor": "Xen", "bios_version": "4.11"}, False),
    ],
)
def test_who_is_asked_for_ec2(tmp_path: Path, dmi: dict[str, str], amazon: bool) -> None:
    host = Host(plant(tmp_path, {f"sys/class/dmi/id/{name}": text for name, text in dmi.items()}))
    assert ec2.is_amazon(host) is amazon
