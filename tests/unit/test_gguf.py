"""What the GGUF reader understands, and that nothing hostile gets past it or costs memory."""

from __future__ import annotations

import io
import json
import random
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.gguf import read_description, read_gguf
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import CHAT_TEMPLATE, F32, Tensor, gguf_bytes, keys, text, write_gguf

HUGE = (1 << 62) + 1


def test_what_a_model_says_about_itself(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", tensors=(Tensor(), Tensor("output.weight", (8, 3), F32)))
    found = read_gguf(str(path))
    assert (found.version, found.architecture, found.name, found.kind) == (3, "llama", "Tiny", "model")
    assert (found.file_type, found.parameters, found.context_length, found.embedding_length) == ("Q4_1", 64 * 4 + 24, 2048, 64)
    assert (found.chat_template, found.shards, found.data_end) == (CHAT_TEMPLATE, 0, path.stat().st_size)


@pytest.mark.parametrize(
    ("change", "attribute", "wanted"),
    [
        ({"general__file_type": 15}, "file_type", "Q4_K_M"),
        ({"general__file_type": 999}, "file_type", "unknown"),
        ({"general__file_type": None}, "file_type", "unknown"),
        ({"general__file_type": "text"}, "file_type", "unknown"),
        ({"general__name": None}, "name", ""),
        ({"general__name": 7}, "name", ""),
        ({"tokenizer__chat_template": None}, "chat_template", ""),
        ({"split__count": 3}, "shards", 3),
        ({"general__type": "adapter"}, "is_adapter", True),
        ({"general__type": "mmproj"}, "is_projector", True),
        ({"general__architecture": "clip"}, "is_projector", True),
        ({}, "is_projector", False),
        ({"general__alignment": 64}, "version", 3),
    ],
)
def test_keys_of_every_shape(tmp_path: Path, change: dict[str, Any], attribute: str, wanted: object) -> None:
    alignment = change.get("general__alignment", 32)
    path = write_gguf(tmp_path / "a.gguf", kv=keys(**change), alignment=alignment)
    assert getattr(read_gguf(str(path)), attribute) == wanted


def test_more_bytes_than_the_tensors_need_are_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf_bytes() + b"\0" * 100)
    assert read_gguf(str(path)).data_end == path.stat().st_size - 100


def test_a_tensor_type_of_the_future_is_accepted(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", tensors=(Tensor(kind=4711),))
    assert read_gguf(str(path)).parameters == 256


def patched(position: int, layout: str, number: int) -> bytes:
    raw = bytearray(gguf_bytes())
    struct.pack_into(layout, raw, position, number)
    return bytes(raw)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too short"),
        (b"GG", "too short"),
        (b"<!DOCTYPE html><html>not found</html>", "starts with b'<!DO'"),
        (b"PK\x03\x04" + b"\0" * 100, "not with b'GGUF'"),
        (gguf_bytes(magic=b"FUGG"), "not with b'GGUF'"),
        (gguf_bytes(version=1), "format version is 1"),
        (gguf_bytes(version=4), "format version is 4"),
        (gguf_bytes(version=3 << 24), "big-endian"),
        (patched(8, "<Q", HUGE), "tensors, more than"),
        (patched(16, "<Q", HUGE), "keys, more than"),
        (patched(24, "<Q", HUGE), "bytes for a key, more than"),
        (patched(24, "<Q", 1000), "ends inside its header"),
        (gguf_bytes(kv={"a": struct.pack("<I", 99)}), "unknown type 99"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 9, 1)}), "a list of the type 9"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 8, HUGE)}), "texts in its lists"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 4, HUGE)}), "numbers in a list"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 12, 1 << 20)}), "ends inside its header"),
        (gguf_bytes(kv={"general.name": struct.pack("<IQ", 8, HUGE)}), "bytes for general.name"),
        (gguf_bytes(kv=keys(general__alignment=0)), "alignment is 0"),
        (gguf_bytes(kv=keys(general__alignment=33)), "alignment is 33"),
        (gguf_bytes(kv=keys(general__alignment="32")), "alignment is '32'"),
        (gguf_bytes(kv=keys(general__architecture=None)), "names no architecture"),
        (gguf_bytes(tensors=()), "no tensors"),
        (gguf_bytes(tensors=(Tensor(shape=(33,)),)), "whole blocks of 32"),
        (gguf_bytes(tensors=(Tensor(shape=(1, 1, 1, 1, 1), kind=F32),)), "dimensions of a tensor"),
        (gguf_bytes(tensors=(Tensor(offset=1 << 40),)), "was cut short"),
        (gguf_bytes(tensors=(Tensor(offset=(1 << 64) - 1),)), "larger than any file"),
    ],
)
def test_what_is_refused_and_in_which_words(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError) as refusal:
        read_gguf(str(path))
    assert words in str(refusal.value)
    assert str(refusal.value).startswith(str(path)) and str(refusal.value).endswith(".")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole, path = gguf_bytes(), tmp_path / "cut.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_gguf(str(path))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_gguf(str(tmp_path / "none.gguf"))


def test_random_damage_ends_soon_in_a_result_or_a_sentence(tmp_path: Path) -> None:
    chance, whole, path = random.Random(20261124), gguf_bytes(kv=keys(a=["x"] * 50)), tmp_path / "fuzzed.gguf"  # noqa: S311
    started, refused = time.process_time(), 0
    tracemalloc.start()
    for _unused in range(3000):
        damaged = bytearray(whole)
        for _unused in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        path.write_bytes(damaged[: chance.randint(1, len(damaged))] if chance.random() < 0.2 else damaged)
        try:
            read_gguf(str(path))
        except ModelError:
            refused += 1
    _current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused > 500
    assert peak < 8 << 20
    assert time.process_time() - started < 60


def test_a_large_sparse_header_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    numbers = struct.pack("<IIQ", 9, 0, 100 << 20)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + text("a") + numbers)
    with path.open("r+b") as stream:
        stream.truncate(8 << 30)
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ModelError):
        read_gguf(str(path))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    assert time.process_time() - started < 5
    tracemalloc.stop()


def listed(layout: str, kind: int, *numbers: float) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(numbers)) + struct.pack(f"<{len(numbers)}{layout}", *numbers)


def key_values(data: bytes, size: int | None = None) -> dict[str, Any]:
    return read_description(io.BytesIO(data), "a.gguf", len(data) if size is None else size)[0]


def test_key_values_are_those_of_the_header() -> None:
    assert key_values(gguf_bytes()) == {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Tiny",
        "general.file_type": "Q4_1",
        "llama.context_length": 2048,
        "llama.embedding_length": 64,
        "tokenizer.ggml.tokens": 3,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (struct.pack("<IB", 0, 7), 7),
        (struct.pack("<Ib", 1, -7), -7),
        (struct.pack("<If", 6, 0.5), 0.5),
        (struct.pack("<Id", 12, 1e300), 1e300),
        (struct.pack("<IQ", 10, HUGE), HUGE),
        (struct.pack("<I?", 7, True), True),
        (struct.pack("<If", 6, float("nan")), None),
        (struct.pack("<Id", 12, float("inf")), None),
        ("x" * 256, "x" * 256),
        ("x" * 257, None),
        ("", ""),
        (struct.pack("<IQ2s", 8, 2, b"\xff\xfe"), "\ufffd\ufffd"),
        (listed("I", 4, 8, 8, 0, 8), [8, 8, 0, 8]),
        (listed("?", 7, True, False), [True, False]),
        (listed("f", 6, 1.0, 0.25), [1.0, 0.25]),
        (listed("f", 6, 1.0, float("nan")), None),
        (listed("I", 4), []),
        (listed("I", 4, *[1] * 1024), [1] * 1024),
        (listed("I", 4, *[1] * 1025), None),
        (["a", "b"], None),
    ],
)
def test_a_key_value_of_every_type(content: Any, wanted: object) -> None:
    found = key_values(gguf_bytes(kv=keys(llama__thing=content, llama__block_count=30)))
    assert found.get("llama.thing") == wanted and type(found.get("llama.thing")) is type(wanted)
    assert found["llama.block_count"] == 30 and found["tokenizer.ggml.tokens"] == 3


@pytest.mark.parametrize(
    ("change", "key", "wanted"),
    [
        ({"general__file_type": 999}, "general.file_type", "unknown"),
        ({"general__file_type": "Q8_0"}, "general.file_type", "unknown"),
        ({"general__file_type": None}, "general.file_type", None),
        ({"tokenizer__ggml__tokens": None}, "tokenizer.ggml.tokens", None),
        ({"tokenizer__ggml__tokens": 5}, "tokenizer.ggml.tokens", None),
        ({"tokenizer__ggml__tokens": ["t"] * 5000}, "tokenizer.ggml.tokens", 5000),
    ],
)
def test_key_values_that_are_told_otherwise(change: dict[str, Any], key: str, wanted: object) -> None:
    assert key_values(gguf_bytes(kv=keys(**change))).get(key) == wanted


def test_the_beginning_of_a_file_will_do() -> None:
    whole = gguf_bytes(kv=keys(tokenizer__ggml__tokens=["token"] * 300), tensors=(Tensor(shape=(64, 4096)),))
    # Behind a tensor's name: number of dimensions, two of them, type, offset.
    end = whole.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8 + 4 + 8
    assert key_values(whole[:end], len(whole)) == key_values(whole)
    for cut in range(0, end - 12, 7):
        with pytest.raises(ModelError, match="became shorter"):
            key_values(whole[:cut], len(whole))


def test_all_lists_together_are_short() -> None:
    found = key_values(gguf_bytes(kv=keys(**{f"llama__list{number}": listed("B", 0, *[1] * 1000) for number in range(40)})))
    assert sum(len(value) for value in found.values() if isinstance(value, list)) == 16000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GG", "too short"),
        (gguf_bytes(magic=b"FUGG"), "not with b'GGUF'"),
        (patched(16, "<Q", HUGE), "keys, more than"),
        (gguf_bytes(kv={"a": struct.pack("<I", 99)}), "unknown type 99"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 9, 1)}), "a list of the type 9"),
        (gguf_bytes(kv={"tokenizer.ggml.tokens": struct.pack("<IIQ", 9, 8, HUGE)}), "texts in its lists"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 4, HUGE)}), "numbers in a list"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 12, 1 << 20)}), "ends inside its header"),
        (gguf_bytes(kv={"a": struct.pack("<IIQ", 9, 0, 500)}, tensors=()), "ends inside its header"),
        (gguf_bytes(kv={"a": struct.pack("<IQ", 8, HUGE)}), "bytes for a text"),
        (gguf_bytes(kv=keys(general__architecture=None)), "names no architecture"),
        (gguf_bytes(kv=keys(general__architecture=5)), "names no architecture"),
    ],
)
def test_key_values_that_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError) as refusal:
        key_values(data)
    assert words in str(refusal.value) and str(refusal.value).startswith("a.gguf") and str(refusal.value).endswith(".")


def test_random_damage_to_key_values_ends_soon_in_a_result_or_a_sentence() -> None:
    whole = gguf_bytes(kv=keys(a=["x"] * 50, llama__attention__head_count_kv=listed("I", 4, *range(40))))
    chance, refused, started = random.Random(20261128), 0, time.process_time()  # noqa: S311
    tracemalloc.start()
    for _unused in range(3000):
        damaged = bytearray(whole)
        for _unused in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        beginning = bytes(damaged[: chance.randint(1, len(damaged))] if chance.random() < 0.2 else damaged)
        try:
            json.dumps(key_values(beginning, chance.choice([len(beginning), 1 << 40])), allow_nan=False)
        except ModelError:
            refused += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 500 and peak < 8 << 20 and time.process_time() - started < 60
