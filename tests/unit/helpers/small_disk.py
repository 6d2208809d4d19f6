"""A small file system that is really full or read-only, for any user: it is mounted where only one helper process sees it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.helpers.stored import own_mounts

SHELL = 'while read -r line; do eval "$line" && echo done; done'


@dataclass(frozen=True)
class SmallDisk:
    """The file system, reached through the process that has it mounted."""

    holder: subprocess.Popen[str]
    mounted: Path

    @property
    def folder(self) -> Path:
        """Return its folder as this process sees it."""
        return Path(f"/proc/{self.holder.pid}/root{self.mounted}")

    def remount(self, options: str) -> None:
        """Change it."""
        self.tell(f"mount -o remount,{options} '{self.mounted}'")

    def fill(self) -> Path:
        """Write a file until nothing is left; return it."""
        path = self.folder / "filler"
        with path.open("wb", buffering=0) as stream:
            try:
                while True:
                    stream.write(bytes(4096))
            except OSError:
                return path

    def tell(self, command: str) -> None:
        """Have a command run where it is mounted."""
        assert self.holder.stdin and self.holder.stdout
        self.holder.stdin.write(f"{command}\n")
        self.holder.stdin.flush()
        assert self.holder.stdout.readline() == "done\n", command


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Mount it for a while."""
    folder.mkdir()
    with subprocess.Popen([*own_mounts(), "bash", "-c", SHELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        disk = SmallDisk(holder, folder)
        disk.tell(f"mount -t tmpfs -o size={size} tmpfs '{folder}'")
        yield disk
        assert holder.stdin
        holder.stdin.close()
