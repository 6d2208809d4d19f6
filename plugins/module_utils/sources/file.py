# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GGUF file that already lies on the host: downloaded, carried in, or on a mounted medium. It is only ever read."""

from __future__ import annotations

import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.gguf import Gguf, Role, read_gguf
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, StampBook, hash_file

RoleT = TypeVar("RoleT", bound=Role)


@dataclass(frozen=True)
class SourceBlob:
    """One file of a model: what it says about itself, and its digest once that is known."""

    path: str
    size: int
    stamp: Stamp
    gguf: Gguf
    digest: Digest | None

    def memory(self, digest: Digest) -> Memory:
        """Return what to remember of it."""
        return Memory(self.stamp, digest, asdict(self.gguf))


class FileSource:
    """One GGUF file named by its path."""

    def __init__(self, ref: FileRef, stamps: StampBook) -> None:
        self.ref = ref
        self._stamps = stamps

    @property
    def is_there(self) -> bool:
        """Tell whether there is anything to read."""
        return Path(self.ref.path).exists()

    def manifest(self) -> SourceBlob:
        """Return the file; refuse one that is missing, cut short or no model. The digest is given if it is remembered."""
        path = self.ref.path
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            raise ModelError(
                f"The GGUF file {path} does not exist on this host: put it there, or correct the source '{self.ref}'."
            ) from None
        except OSError as exc:
            raise ModelError(f"Cannot read the GGUF file {path}: {exc.strerror}. Correct the source '{self.ref}'.") from exc
        if stat.S_ISDIR(status.st_mode):
            raise ModelError(
                f"The source '{self.ref}' is a folder, but Ollama takes one GGUF file: name the file itself, "
                f"or set 'engine: vllm' if the folder holds safetensors."
            )
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"The source '{self.ref}' must be one GGUF file, but it is not a regular file: name the file itself.")
        stamp = Stamp.of(path)
        memory = self._stamps.recall(path, stamp)
        try:
            gguf = Gguf(**memory.facts) if memory else read_gguf(path)
        except TypeError:
            # Remembered by another version of this collection.
            gguf = read_gguf(path)
        return SourceBlob(path, stamp.size, stamp, whole_model(path, gguf), memory.digest if memory else None)

    def open(self, blob: SourceBlob) -> BinaryIO:
        """Open the file for reading."""
        with explained(f"read {blob.path}"):
            return Path(blob.path).open("rb")

    def hashed(self, blob: SourceBlob) -> SourceBlob:
        """Return the blob with its digest, reading all of it unless that is remembered."""
        if blob.digest:
            return blob
        digest, stamp = hash_file(blob.path)
        blob = replace(blob, digest=digest, stamp=stamp)
        self._stamps.hold(blob.path, blob.memory(digest))
        return blob


def whole_model(path: str, gguf: RoleT) -> RoleT:
    """Return what was given; refuse what is a part of a model only."""
    if gguf.is_adapter or gguf.is_projector:
        part = "a LoRA adapter" if gguf.is_adapter else "the vision or audio part of a model"
        raise ModelError(f"{path} is {part}, but a whole language model is expected: name the model's own GGUF file.")
    if gguf.shards > 1:
        raise ModelError(
            f"{path} is one of {gguf.shards} parts of a split GGUF, but one file is expected: join them with 'llama-gguf-split --merge'."
        )
    return gguf
