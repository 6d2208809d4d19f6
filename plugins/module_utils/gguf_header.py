# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads forward through the header of a GGUF file.

A header comes from anywhere, so every count and length is bounded before it is believed: a hostile one ends in an
error, never in memory use. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from typing import Protocol, Union

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError

Scalar = Union[int, float, bool, str]
# A list of numbers too, and for the vocabulary its length.
KeyValue = Union[Scalar, list[Union[int, float, bool]]]

MAX_HEADER = 128 << 20
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_STRINGS = 4 << 20
MAX_KEY = 1 << 10
MAX_KEPT_TEXT = 1 << 20
MAX_DIMENSIONS = 4
MAX_NUMBER = (1 << 63) - 1
# What is told of a model: short texts, and lists with a number for each layer.
MAX_SHORT_TEXT, MAX_SHORT_LIST = 256, 1024
# All lists together.
MAX_LISTED = 1 << 14
SHORTER = "it became shorter while it was read"
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


class Stream(Protocol):
    """What a header is read from: a file, or the beginning of one that lies elsewhere."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only at the end."""

    def seek(self, offset: int, /) -> int:
        """Go on from there. It is never before what was read."""


class Header:
    """Reads forward through a header and refuses to leave the file or the budget."""

    def __init__(self, stream: Stream, path: str, size: int) -> None:
        self._stream = stream
        self._path = path
        self._end = min(size, MAX_HEADER)
        self._short = size <= MAX_HEADER
        self._texts = MAX_STRINGS
        self._listed = MAX_LISTED
        self.position = 0

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"{self._path} is not a usable GGUF file: {why}. Fetch it again and compare its sha256.")

    @property
    def left(self) -> int:
        """Return how many bytes may still be read."""
        return self._end - self.position

    def _claim(self, count: int) -> None:
        if count > self.left:
            raise self.refuse("it ends inside its header" if self._short else f"its header is longer than {MAX_HEADER} bytes")
        self.position += count

    def take(self, count: int) -> bytes:
        self._claim(count)
        data = self._stream.read(count)
        if len(data) != count:
            raise self.refuse(SHORTER)
        return data

    def skip(self, count: int) -> None:
        self._claim(count)
        self._stream.seek(self.position)

    def number(self, layout: str) -> int | float | bool:
        value: int | float | bool = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def count(self, limit: int, of: str, layout: str = "<Q") -> int:
        return self._checked(int(self.number(layout)), limit, of)

    def _checked(self, value: int, limit: int, of: str) -> int:
        if value > limit:
            raise self.refuse(f"it claims {value} {of}, more than {limit}")
        return value

    def text(self, limit: int, of: str) -> str:
        return self.take(self.count(limit, f"bytes for {of}")).decode("utf-8", "replace")

    def skip_value(self, kind: int) -> None:
        if kind == STRING:
            self.skip(self.count(MAX_HEADER, "bytes for a text"))
        elif kind == ARRAY:
            self._skip_array()
        elif kind in SCALARS:
            self.skip(struct.calcsize(SCALARS[kind]))
        else:
            raise self.refuse(f"it holds a value of the unknown type {kind}")

    def _skip_array(self) -> None:
        self._skip_items(*self._array_start())

    def _array_start(self) -> tuple[int, int]:
        """Return the type of a list and how many there are."""
        kind = int(self.number("<I"))
        if kind == STRING:
            texts = self.count(self._texts, "texts in its lists")
            self._texts -= texts
            return kind, texts
        if kind in SCALARS:
            return kind, self.count(MAX_HEADER, "numbers in a list")
        raise self.refuse(f"it holds a list of the type {kind}, which the format does not allow")

    def _skip_items(self, kind: int, count: int) -> None:
        if kind == STRING:
            self._skip_texts(count)
        else:
            self.skip(count * struct.calcsize(SCALARS[kind]))

    def _skip_texts(self, count: int) -> None:
        """Pass over texts one by one; a vocabulary has hundreds of thousands, so with few calls for each."""
        read, seek, unpack = self._stream.read, self._stream.seek, struct.Struct("<Q").unpack
        for _unused in range(count):
            self._claim(8)
            data = read(8)
            if len(data) != 8:
                raise self.refuse(SHORTER)
            self._claim(self._checked(unpack(data)[0], MAX_HEADER, "bytes for a text"))
            seek(self.position)

    def value(self, kind: int, key: str) -> Scalar | None:
        """Return a value that is kept; a list is passed over."""
        if kind == STRING:
            return self.text(MAX_KEPT_TEXT, key)
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        self.skip_value(kind)
        return None

    def short_value(self, kind: int) -> KeyValue | None:
        """Return a value that can be told: a number, a short text or a short list of numbers; any other is passed over."""
        if kind == ARRAY:
            return self._short_list(*self._array_start())
        if kind != STRING:
            value = self.value(kind, "")
            # JSON has no word for the others.
            return None if isinstance(value, float) and not math.isfinite(value) else value
        length = self.count(MAX_HEADER, "bytes for a text")
        if length <= MAX_SHORT_TEXT:
            return self.take(length).decode("utf-8", "replace")
        self.skip(length)
        return None

    def _short_list(self, kind: int, count: int) -> KeyValue | None:
        if kind == STRING or count > min(MAX_SHORT_LIST, self._listed):
            self._skip_items(kind, count)
            return None
        self._listed -= count
        numbers = [self.number(SCALARS[kind]) for _unused in range(count)]
        return numbers if all(math.isfinite(number) for number in numbers) else None

    def length_of_list(self, kind: int) -> int | None:
        """Return how many there are in a list, which is passed over."""
        if kind != ARRAY:
            self.skip_value(kind)
            return None
        items, count = self._array_start()
        self._skip_items(items, count)
        return count


def preamble(header: Header) -> tuple[int, int, int]:
    """Return the version of the format, the number of tensors and that of keys."""
    if header.left < 8:
        raise header.refuse("it is too short to hold a header")
    magic = header.take(4)
    version = int(header.number("<I"))
    if magic != b"GGUF":
        raise header.refuse(f"it starts with {magic!r}, not with b'GGUF'")
    if version not in {2, 3}:
        big = version in {2 << 24, 3 << 24}
        raise header.refuse("it is written for big-endian machines" if big else f"its format version is {version}, engines read 2 and 3")
    tensors = header.count(MAX_TENSORS, "tensors")
    return version, tensors, header.count(MAX_KEYS, "keys")
