"""One file in one folder of a mirror, offered by one of its four modules, and tools of the distribution that do without it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import apt_tree, rpm_tree
from ansible_collections.onprem.llm.plugins.modules import mirror_apt, mirror_files, mirror_rpm, mirror_wheels
from ansible_collections.onprem.llm.tests.unit.helpers.wheel_writer import wheel_bytes

# More than stamps look at.
BODY = hashlib.shake_256(b"body").digest(300_000)
CallModule = Callable[..., dict[str, Any]]


@dataclass
class Shelf:
    """A folder on the host with one file, and the mirror that offers it."""

    call_module: CallModule
    module: ModuleType
    file: str
    data: bytes
    # Where it is offered, below ``www``.
    place: str
    options: Mapping[str, Any]
    base: Path

    @property
    def root(self) -> Path:
        """Return the mirror's tree."""
        return self.base / "mirror"

    @property
    def source(self) -> Path:
        """Return the file on the host."""
        return self.base / "in" / self.file

    @property
    def offered(self) -> Path:
        """Return the file that clients get."""
        return self.root / "www" / self.place

    @property
    def blob(self) -> Path:
        """Return the file in the store."""
        digest = hashlib.sha256(self.data).hexdigest()
        return self.root / "blobs" / "sha256" / digest[:2] / digest

    def fill(self, mode: int) -> None:
        """Put the right file on the host, as a download does: under a new name first."""
        self.source.parent.mkdir(exist_ok=True)
        new = self.source.with_name("new")
        new.write_bytes(self.data)
        new.chmod(mode)
        new.replace(self.source)

    def call(self, *, check: bool = False, **more: Any) -> dict[str, Any]:
        """Run the module."""
        return self.call_module(self.module, {"root": str(self.root), **self.options, **more}, check=check)


def shelf_of(kind: str, base: Path, call_module: CallModule) -> Shelf:
    """Return the shelf of one module."""
    folder = str(base / "in")
    if kind == "files":
        wish = {"name": "tool", "version": "1", "file": "tool.bin", "src": f"{folder}/tool.bin"}
        return Shelf(call_module, mirror_files, "tool.bin", BODY, "artefacts/tool/1/tool.bin", {"files": [wish]}, base)
    if kind == "wheels":
        data, file = wheel_bytes("demo", "1.0", body=BODY), "demo-1.0-py3-none-any.whl"
        digest = hashlib.sha256(data).hexdigest()
        place = f"pypi/files/{digest[:2]}/{digest}/{file}"
        return Shelf(call_module, mirror_wheels, file, data, place, {"sources": [{"folder": folder}]}, base)
    if kind == "apt":
        options = {"folders": [folder], "key_home": str(base), "architectures": ["amd64"]}
        return Shelf(call_module, mirror_apt, "tool_1_amd64.deb", BODY, "apt/pool/tool_1_amd64.deb", options, base)
    repositories = [{"name": "el9", "folders": [folder]}]
    return Shelf(call_module, mirror_rpm, "tool-1.noarch.rpm", BODY, "rpm/el9/tool-1.noarch.rpm", {"repositories": repositories}, base)


class KeyAtHand:
    """A key that signs without GnuPG."""

    fingerprint = "F" * 40

    def __init__(self, home: str) -> None:
        self.home = home

    def public(self) -> bytes:
        """Return the key for clients."""
        return b"key"

    def sign(self, path: Path) -> tuple[bytes, bytes]:
        """Return the text with a signature, and a signature."""
        return path.read_bytes(), b"signature"

    def has_signed(self, path: Path, detached: Path | None = None) -> bool:
        """Believe every text, and a signature that is like the one above."""
        return path.is_file() and (detached is None or detached.read_bytes() == b"signature")


def use_stand_ins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let packages be described without the tools of a distribution; return the command lines that were run."""
    asked: list[str] = []

    def run(words: Sequence[str], _needs: str, *, cwd: str = "/") -> bytes:
        asked.append(" ".join(words))
        if words[0] == "createrepo_c":
            describe_rpms(Path(words[-1]))
            return b""
        if "packages" in words:
            debs = sorted(Path(cwd, "pool").rglob("*.deb"))
            return "\n\n".join(f"Filename: {deb.relative_to(cwd)}\nSHA256: {sha256_of(deb)}" for deb in debs).encode()
        return release_of(Path(words[-1]), dict(word.partition("Release::")[2].split("=", 1) for word in words if "Release::" in word))

    for module in (apt_tree, rpm_tree):
        monkeypatch.setattr(module, "run_tool", run)
    monkeypatch.setattr(mirror_apt, "SigningKey", KeyAtHand)
    return asked


def release_of(suite: Path, settings: dict[str, str]) -> bytes:
    """Return what apt-ftparchive tells of a suite: by all the digests that it knows, less those that are set to false."""
    lines, lists = [], [path for path in sorted(suite.rglob("*")) if path.is_file()]
    for section, name in (("MD5Sum", "MD5"), ("SHA1", "SHA1"), ("SHA256", "SHA256"), ("SHA512", "SHA512")):
        if settings.pop(name, "true") == "true":
            lines += [f"{section}:"]
            digests = {path: hashlib.new(name, path.read_bytes(), usedforsecurity=False).hexdigest() for path in lists}
            lines += [f" {digests[path]} {path.stat().st_size} {path.relative_to(suite)}" for path in lists]
    return "".join(f"{line}\n" for line in [*(f"{name}: {value}" for name, value in settings.items()), *lines]).encode()


def describe_rpms(root: Path) -> None:
    """Write what createrepo_c writes, as far as it is read back."""
    repodata, entries = root / "repodata", []
    repodata.mkdir(exist_ok=True)
    for kind in ("primary", "filelists", "other"):
        found = sorted(root.glob("*.rpm"))
        listed = [f'<checksum type="sha256" pkgid="YES">{sha256_of(rpm)}</checksum><location href="{rpm.name}"/>' for rpm in found]
        path = repodata / f"{kind}.xml.gz"
        path.write_bytes(gzip.compress(f"<{kind}>{''.join(listed)}</{kind}>".encode(), mtime=0))
        checksum = f'<checksum type="sha256">{sha256_of(path)}</checksum>'
        entries.append(f'<data type="{kind}">{checksum}<location href="repodata/{path.name}"/></data>')
    (repodata / "repomd.xml").write_text("".join(entries))


def sha256_of(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
