# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder in Hugging Face's layout that already lies on the host: safetensors, config, tokenizer. It is only ever read.

Nothing of it is believed before it was checked: what is taken by its name, what it says by its content, and what it is by the digests in
its ``SHA256SUMS``, if it has one.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, FileName, as_file_name, shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef
from ansible_collections.onprem.llm.plugins.module_utils.safetensors import read_tensor_names
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, StampBook, hash_file

SUMS, CONFIG, WEIGHTS, INDEX = "SHA256SUMS", "config.json", "model.safetensors", "model.safetensors.index.json"
# What vLLM reads besides the weights, and what a licence asks to be kept with them. No code: Python files are never taken.
SIDE_FILES = re.compile(r"[^.].*\.(json|txt|jinja|model|tiktoken)|(licen[cs]e|notice|copying)([._-].*)?", re.IGNORECASE | re.DOTALL)
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
SUM_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *](?:\./)?(.+)", re.ASCII)
LARGEST_SUMS, LARGEST_JSON = 4 << 20, 64 << 20


@dataclass(frozen=True)
class FolderFile:
    """One file: its digest once that is known, and the one it must have where something says so."""

    name: FileName
    path: str
    size: int
    stamp: Stamp
    digest: Digest | None
    expected: Digest | None

    @property
    def is_weights(self) -> bool:
        """Tell whether it is one of the few large files."""
        return self.name.endswith(".safetensors")


@dataclass(frozen=True)
class Folder:
    """The files that vLLM needs, and those that are only compared because the folder's list has them."""

    path: str
    files: tuple[FolderFile, ...]
    others: tuple[FolderFile, ...]

    @property
    def has_list(self) -> bool:
        """Tell whether a list says which digests are right."""
        return any(file.name == SUMS for file in self.files)

    @property
    def digest(self) -> Digest:
        """Return one digest for all: that of the list of the needed files as ``sha256sum`` prints it, in the order of their names."""
        lines = [f"{file.digest}  {file.name}\n" for file in self.files if file.name != SUMS]
        return Digest(hashlib.sha256("".join(lines).encode("ascii")).hexdigest())


class FolderSource:
    """One folder named by its path."""

    def __init__(self, ref: FileRef, stamps: StampBook) -> None:
        self.ref = ref
        self._stamps = stamps

    @property
    def is_there(self) -> bool:
        """Tell whether there is anything to read."""
        return Path(self.ref.path).exists()

    def manifest(self, pinned: Digest | None = None) -> Folder:
        """Return the files; refuse a folder that is missing, incomplete or no model. Digests are given where they are remembered."""
        paths = self._paths()
        sums = read_sums(paths[SUMS]) if SUMS in paths else {}
        if pinned and not sums:
            raise ModelError(
                f"sha256 is that of the file {SUMS} in {self.ref.path}, but there is none: make it with 'sha256sum -- * > {SUMS}', "
                f"or leave sha256 out."
            )
        missing = sorted(set(sums) - set(paths))
        if missing:
            raise ModelError(
                f"{paths[SUMS]} lists {missing[0]}, but {self.ref.path} has no such file: fetch it, or the whole folder again."
            )
        return read_folder(self.ref.path, paths, pinned, self._stamps)

    def open(self, file: FolderFile) -> BinaryIO:
        """Open a file for reading."""
        with explained(f"read {file.path}"):
            return Path(file.path).open("rb")

    def hashed(self, file: FolderFile) -> FolderFile:
        """Return the file with its digest, reading all of it unless that is remembered."""
        if file.digest:
            return file
        digest, stamp = hash_file(file.path)
        self._stamps.hold(file.path, Memory(stamp, digest, {}))
        return replace(file, digest=digest, stamp=stamp)

    def _paths(self) -> dict[str, Path]:
        path = self.ref.path
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            raise ModelError(f"The folder {path} does not exist on this host: put it there, or correct the source '{self.ref}'.") from None
        except OSError as exc:
            raise ModelError(f"Cannot read the folder {path}: {exc.strerror}. Correct the source '{self.ref}'.") from exc
        if not stat.S_ISDIR(status.st_mode):
            raise ModelError(
                f"The source '{self.ref}' is a file, but vLLM takes a folder with safetensors, config and tokenizer: name the folder, "
                f"or set 'engine: ollama' if the file is a GGUF."
            )
        with explained(f"read {path}"):
            return {entry.name: entry for entry in Path(path).iterdir()}


def read_folder(path: str, paths: Mapping[str, Path], pinned: Digest | None, stamps: StampBook) -> Folder:
    """Check what lies at ``paths``, by name, and return it."""
    sums = read_sums(paths[SUMS]) if SUMS in paths else {}
    if pinned:
        sums[FileName(SUMS)] = pinned
    names = {name for name in paths if name == SUMS or SIDE_FILES.fullmatch(name)} | _weights(path, paths)
    for name in names:
        as_file_name(name, path)
    _check_text_files(path, paths)
    unlisted = sorted(names - set(sums) - {SUMS})
    if SUMS in paths and unlisted:
        raise ModelError(f"{paths[SUMS]} does not list {unlisted[0]}, which vLLM would read: make the list again, or remove the file.")

    def file_of(name: str) -> FolderFile:
        place = paths[name]
        _check_place(place)
        stamp = Stamp.of(str(place))
        memory = stamps.recall(str(place), stamp)
        return FolderFile(FileName(name), str(place), stamp.size, stamp, memory.digest if memory else None, sums.get(FileName(name)))

    files, others = sorted(names), sorted(name for name in sums if name not in names and name in paths)
    return Folder(path, tuple(file_of(name) for name in files), tuple(file_of(name) for name in others))


def read_sums(path: Path) -> dict[FileName, Digest]:
    """Return the digests of a list as ``sha256sum`` prints it, by name."""
    _check_place(path)
    found: dict[FileName, Digest] = {}
    for number, line in enumerate(_some_bytes(path, LARGEST_SUMS).decode("utf-8", "replace").splitlines(), start=1):
        match = SUM_LINE.fullmatch(line)
        if not match:
            raise ModelError(
                f"Line {number} of {path} is {shown(line)}, but '<64 hexadecimal digits>  <file>' was expected: make it again."
            )
        name = as_file_name(match.group(2), f"Line {number} of {path}")
        if name in found:
            raise ModelError(f"{path} lists {name} twice: make it again with 'sha256sum -- * > {SUMS}'.")
        # Made a second time, a list has itself in it, as it was when it was still empty.
        if name != SUMS:
            found[name] = Digest(match.group(1).lower())
    if not found:
        raise ModelError(f"{path} is empty, but digests were expected: make it again with 'sha256sum -- * > {SUMS}'.")
    return found


def _weights(path: str, paths: Mapping[str, Path]) -> set[str]:
    if weights_list(path, paths) == INDEX:
        return _shards(path, paths)
    _check_place(paths[WEIGHTS])
    read_tensor_names(str(paths[WEIGHTS]))
    return {WEIGHTS}


def weights_list(path: str, names: Collection[str]) -> str:
    """Return the file that is, or names, the weights among those of a folder; refuse a folder without any."""
    for name in (INDEX, WEIGHTS):
        if name in names:
            return name
    pickled = sorted(name for name in names if name.endswith(PICKLES))
    if pickled:
        raise ModelError(
            f"{path} has its weights as {shown(pickled[0])}, which can run code when it is loaded, but only safetensors are accepted: "
            f"fetch the model in that format, or convert it with save_pretrained of transformers."
        )
    if any(name.lower().endswith(".gguf") for name in names):
        raise ModelError(f"{path} has a GGUF file but no {WEIGHTS}: name the GGUF file itself and set 'engine: ollama'.")
    raise ModelError(f"{path} has neither {WEIGHTS} nor {INDEX}, so it has no weights: fetch the whole model.")


def _shards(path: str, paths: Mapping[str, Path]) -> set[str]:
    placed = _json_object(paths[INDEX]).get("weight_map")
    if not isinstance(placed, dict) or not placed or not all(isinstance(shard, str) for shard in placed.values()):
        raise ModelError(f"{paths[INDEX]} has no 'weight_map' that names a file for each tensor: fetch it again.")
    tensors: dict[str, set[str]] = {}
    for tensor, shard in placed.items():
        tensors.setdefault(shard, set()).add(tensor)
    for shard in sorted(tensors):
        as_file_name(shard, str(paths[INDEX]))
        if not shard.endswith(".safetensors"):
            raise ModelError(f"{paths[INDEX]} names {shard}, which is no safetensors file: fetch the model in that format.")
        if shard not in paths:
            raise ModelError(f"{paths[INDEX]} names {shard}, but {path} has no such file: fetch it, for the model is not complete.")
        _check_place(paths[shard])
        missing = sorted(tensors[shard] - read_tensor_names(str(paths[shard])))
        if missing:
            raise ModelError(f"{paths[shard]} does not hold the tensor {shown(missing[0])} that {INDEX} promises: fetch both again.")
    return set(tensors)


def check_text_names(path: str, names: Collection[str]) -> None:
    """Refuse a folder that lacks, by name, what vLLM reads besides the weights."""
    for name in (CONFIG, "tokenizer_config.json"):
        if name not in names:
            raise ModelError(f"{path} has no {name}: fetch the whole model.")
    if not any(all(name in names for name in needed) for needed in TOKENIZERS):
        choices = ", or ".join(" and ".join(needed) for needed in TOKENIZERS)
        raise ModelError(f"{path} has no tokenizer ({choices}): fetch the whole model.")


def _check_text_files(path: str, paths: Mapping[str, Path]) -> None:
    check_text_names(path, paths)
    config = _json_object(paths[CONFIG])
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ModelError(f"{paths[CONFIG]} does not name 'architectures', by which vLLM knows how to run the model: fetch it again.")
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{paths[CONFIG]} does not name the 'model_type': fetch it again.")


def _check_place(place: Path) -> None:
    """Refuse what is not a file, and a link that would bring in a file from elsewhere."""
    with explained(f"read {place}"):
        if place.is_symlink() and place.resolve().parent != place.parent.resolve():
            raise ModelError(f"{place} is a link to a file outside of its folder: make a copy of the folder with 'cp -rL' and name that.")
        if not stat.S_ISREG(place.stat().st_mode):
            raise ModelError(f"{place} is not a regular file: fetch the whole model again.")


def _json_object(place: Path) -> dict[str, Any]:
    _check_place(place)
    try:
        found = read_json(_some_bytes(place, LARGEST_JSON))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelError(f"{place} is not a JSON object: fetch it again.")
    return found


def _some_bytes(path: Path, limit: int) -> bytes:
    with explained(f"read {path}"), path.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ModelError(f"{path} has more than {limit} bytes, which is too much for such a file: fetch it again.")
    return data
