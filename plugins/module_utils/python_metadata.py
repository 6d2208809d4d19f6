# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a wheel or a source archive says of itself, read without unpacking it. Nothing in the archive is believed before it was checked."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from email.errors import MessageError
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import BinaryIO, cast

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName, as_project, as_version

# The list of a wheel's files. 4 MiB hold 40,000 of them.
LARGEST_LIST = 16 << 20
LARGEST_METADATA = 2 << 20
# How much of a source archive is unpacked in search of PKG-INFO.
FURTHEST_INFO = 64 << 20
REQUIRES = re.compile(r"[0-9A-Za-z<>=!~.,*+ _-]{0,500}", re.ASCII)
SIMPLE_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile and tarfile raise for files that are not what they should be.
UNUSABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    struct.error,
    zlib.error,
    ValueError,
    EOFError,
    LookupError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    MessageError,
)


@dataclass(frozen=True)
class DistMetadata:
    """The text that an index may offer beside the file, and what an index says itself."""

    # Empty for a source archive: what it says may change when it is built.
    text: bytes
    requires_python: str

    @property
    def digest(self) -> Digest | None:
        """Return the sha256 of the text."""
        return Digest(hashlib.sha256(self.text).hexdigest()) if self.text else None


class _Bounded(io.RawIOBase):
    """A file of which no more than so many bytes are read."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        super().__init__()
        self._stream = stream
        self._left = limit

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0 or size > self._left:
            # At the end of the file less may be there than is asked for.
            data = self._stream.read(self._left + 1)
            if len(data) > self._left:
                raise ValueError("more would have to be read than its metadata can need")
        else:
            data = self._stream.read(size)
        self._left -= len(data)
        return data


def read_dist(path: str, name: DistName) -> DistMetadata:
    """Return what the archive at ``path`` says of itself; refuse one that is broken, or is not what its name says."""
    with explained(f"read {path}"):
        try:
            text = _of_wheel(path, name) if name.is_wheel else _of_sdist(path)
            message = BytesHeaderParser().parsebytes(text)
            found = _only(message, "Name"), _only(message, "Version"), _only(message, "Requires-Python", "")
        except UNUSABLE as exc:
            kind = "wheel" if name.is_wheel else "source archive"
            raise ModelError(f"{path} is not a usable {kind}: {_reason(exc)}. Fetch it again.") from exc
    project, version, requires = found
    if as_project(project, path) != name.project or as_version(version, path).key != name.version.key:
        raise ModelError(
            f"{path} says that it is {shown(project)} {shown(version)}, but its name tells of {name.project} {name.version}: "
            f"fetch it again."
        )
    return DistMetadata(text if name.is_wheel else b"", requires)


def _reason(exc: BaseException) -> str:
    return shown(" ".join(str(exc).split()) or type(exc).__name__).strip("'\"")


def _of_wheel(path: str, name: DistName) -> bytes:
    with Path(path).open("rb") as stream, zipfile.ZipFile(cast("BinaryIO", _Bounded(stream, LARGEST_LIST))) as archive:
        found = [info for info in archive.infolist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", info.filename)]
        if len(found) != 1:
            raise ValueError(f"it has {len(found)} files *.dist-info/METADATA, and one was expected")
        info = found[0]
        if as_project(info.filename.partition("-")[0], path) != name.project:
            raise ValueError(f"its metadata lies in {info.filename}, which is another project's")
        if info.compress_type not in SIMPLE_METHODS or info.flag_bits & 1:
            raise ValueError("its metadata is packed or encrypted in a way that no installer reads")
        if info.file_size > LARGEST_METADATA:
            raise ValueError(f"its metadata would have {info.file_size} bytes, where {LARGEST_METADATA} are possible")
        with archive.open(info) as member:
            return _some(cast("BinaryIO", member))


def _of_sdist(path: str) -> bytes:
    with Path(path).open("rb") as stream:
        # wbits 31: a gzip file. It is unpacked piece by piece, so that a small file cannot become a large one in memory.
        unpacked = cast("BinaryIO", _Unpacked(stream))
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                if re.fullmatch(r"[^/]+/PKG-INFO", member.name) and member.isreg():
                    content = archive.extractfile(member)
                    return _some(cast("BinaryIO", content)) if content else b""
    raise ValueError("it has no PKG-INFO")


class _Unpacked:
    """The tar within a gzip file, as far as it is asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._engine = zlib.decompressobj(wbits=31)
        self._left = FURTHEST_INFO

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise ValueError("no PKG-INFO is among its first files")
        self._left -= size
        data = b""
        while len(data) < size and not self._engine.eof:
            packed = self._engine.unconsumed_tail or self._stream.read(65536)
            if not packed:
                raise EOFError("it ends too early")
            data += self._engine.decompress(packed, size - len(data))
        return data


def _some(stream: BinaryIO) -> bytes:
    data = stream.read(LARGEST_METADATA + 1)
    if len(data) > LARGEST_METADATA:
        raise ValueError(f"its metadata has more than {LARGEST_METADATA} bytes")
    return data


def _only(message: Message, header: str, missing: str | None = None) -> str:
    """Return the one value of a header."""
    values = [str(value) for value in message.get_all(header, [])]
    if not values and missing is not None:
        return missing
    if len(values) != 1:
        raise ValueError(f"its metadata has {len(values)} lines '{header}:', and one was expected")
    value = " ".join(values[0].split())
    if header == "Requires-Python" and not REQUIRES.fullmatch(value):
        raise ValueError(f"it requires the Python {shown(value)}, which is no version specifier")
    return value
