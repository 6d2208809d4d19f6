# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build a program from a Go module with the ordinary ``go`` client, the module's hash checked before the build."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


class GoError(Exception):
    """A build that cannot work; the text says what to do."""


@dataclass(frozen=True)
class Wish:
    """What the program must have been built from; two equal wishes give the same program."""

    package: str
    version: str
    sum: str
    ldflags: str
    cgo_cflags: str


@dataclass(frozen=True)
class Program:
    """A program at ``path`` and, beside it, the stamp that says what it was built from."""

    path: Path

    @property
    def stamp(self) -> Path:
        """The stamp's path."""
        return self.path.with_name(self.path.name + ".json")

    def fits(self, wish: Wish) -> bool:
        """Tell whether the program is there, unchanged, and was built as ``wish`` says."""
        try:
            known = json.loads(self.stamp.read_text(encoding="utf-8"))
            return bool(known["wish"] == asdict(wish) and known["sha256"] == sha256_of(self.path))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this program, so that two callers never build it twice."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(self.path.name + ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class Toolchain:
    """The ``go`` program and its caches."""

    go: str
    cache_dir: Path

    def check(self) -> None:
        """Refuse a machine that lacks ``go`` or a C compiler."""
        if shutil.which(self.go) is None:
            raise GoError(
                f"The Go client '{self.go}' was not found: install Go, or name its path ('make setup' puts one into .venv/bin/go)."
            )
        if shutil.which(os.environ.get("CC", "gcc")) is None:
            raise GoError(
                "Go needs the C compiler 'gcc', which was not found: install gcc and the C library's headers (Debian: gcc libc6-dev)."
            )

    def build(self, wish: Wish, program: Program) -> None:
        """Download, check the hash, build into a spare directory, and put the program in place at once."""
        self.check()
        self._check_sum(wish)
        with tempfile.TemporaryDirectory(dir=str(program.path.parent), prefix=".build-") as spare:
            flags = ["-trimpath", "-ldflags", wish.ldflags] if wish.ldflags else ["-trimpath"]
            self._run(wish, "install", *flags, f"{wish.package}@{wish.version}", GOBIN=spare)
            made = Path(spare) / program_name(wish.package)
            stamp = Path(spare) / "stamp.json"
            stamp.write_text(json.dumps({"wish": asdict(wish), "sha256": sha256_of(made)}, indent=1) + "\n", encoding="utf-8")
            made.replace(program.path)
            stamp.replace(program.stamp)

    def _check_sum(self, wish: Wish) -> None:
        text = self._run(wish, "mod", "download", "-json", f"{wish.package}@{wish.version}")
        found = str(json.loads(text).get("Sum", ""))
        if wish.sum and found != wish.sum:
            raise GoError(
                f"The Go module {wish.package} {wish.version} should have the hash {wish.sum}, but it has {found or 'none'}. "
                "Nothing was built. Find out why the registry serves other bytes, or correct the pinned hash."
            )

    def _run(self, wish: Wish, *arguments: str, **extra: str) -> str:
        cache = self.cache_dir.resolve()
        environment = {
            **os.environ,
            "GOPATH": str(cache / "go"),
            "GOCACHE": str(cache / "go-build"),
            # The toolchain that was chosen builds; go.mod may not fetch another.
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw",
            "CGO_ENABLED": "1",
            "CGO_CFLAGS": wish.cgo_cflags,
            "CGO_CXXFLAGS": wish.cgo_cflags,
            **extra,
        }
        done = subprocess.run([self.go, *arguments], env=environment, cwd="/", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            # `go mod download -json` tells its error on standard output.
            tail = " | ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-6:])
            raise GoError(
                f"'{self.go} {arguments[0]}' failed for {wish.package} {wish.version}: {tail}. Check that the module registry is reachable."
            )
        return done.stdout


def glibc_needed(path: Path) -> str:
    """Return the newest version of the GNU C library whose symbols a program asks for (``2.34``); ``0`` if it asks for none."""
    found = {tuple(int(n) for n in version.split(b".")) for version in re.findall(rb"GLIBC_(\d+\.\d+)\b", path.read_bytes())}
    return ".".join(str(n) for n in max(found, default=(0,)))


def program_name(package: str) -> str:
    """Return the file name ``go install`` gives: the last part of the path, or the one before a major-version suffix."""
    parts = package.split("/")
    if len(parts) > 1 and parts[-1][:1] == "v" and parts[-1][1:].isdigit():
        return parts[-2]
    return parts[-1]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file (64 hexadecimal digits)."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
