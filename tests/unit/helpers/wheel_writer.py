"""Wheels and source archives for tests: real files, as small as they can be."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

TIME = (2026, 1, 1, 0, 0, 0)


def metadata(name: str, version: str, requires: str = ">=3.9", more: str = "") -> bytes:
    """Return the METADATA of a wheel."""
    python = f"Requires-Python: {requires}\n" if requires else ""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{python}{more}\nWords.\n".encode()


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a zip archive with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, TIME), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def wheel_bytes(name: str, version: str, *, text: bytes | None = None, body: bytes = b"VALUE = 1\n", requires: str = ">=3.9") -> bytes:
    """Return a wheel that an installer takes."""
    escaped = name.replace("-", "_")
    info = f"{escaped}-{version}.dist-info"
    files = {
        f"{escaped}/__init__.py": body,
        f"{info}/METADATA": text if text is not None else metadata(name, version, requires),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    return zipped({**files, f"{info}/RECORD": record.encode()})


def write_wheel(folder: Path, name: str, version: str, *, body: bytes = b"VALUE = 1\n", requires: str = ">=3.9") -> Path:
    """Write a wheel for any machine and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    # As a download does: what is linked to the old file keeps it.
    path.unlink(missing_ok=True)
    path.write_bytes(wheel_bytes(name, version, body=body, requires=requires))
    return path


def tar_bytes(files: dict[str, bytes]) -> bytes:
    """Return a gzipped tar archive with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_sdist(folder: Path, name: str, version: str) -> Path:
    """Write a source archive and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.gz"
    path.write_bytes(tar_bytes({f"{name}-{version}/setup.py": b"", f"{name}-{version}/PKG-INFO": metadata(name, version)}))
    return path
