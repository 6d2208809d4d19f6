"""A model in Ollama's folder: what is written, in which order, what is shared, what goes and what stays."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.gguf import Gguf
from ansible_collections.onprem.llm.plugins.module_utils.layouts import ollama_steps
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_plan import plan_model
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings, checked_settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import OllamaTree, human_number, image_of
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_model_name, as_source
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.tests.unit.helpers.gguf_writer import Tensor, keys, write_gguf

# Written by 'ollama create' 0.34.4 from SmolLM2-135M-Instruct.Q4_1.gguf and a Modelfile with the settings below.
SMOLLM2 = Gguf(
    version=3,
    architecture="llama",
    name="",
    kind="model",
    file_type="Q4_1",
    parameters=134515008,
    context_length=8192,
    embedding_length=576,
    chat_template="",
    shards=0,
    data_end=98362432,
)
SMOLLM2_DIGEST = Digest("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
SMOLLM2_SETTINGS = Settings(
    template="{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
    system="You are terse.",
    license="Apache-2.0",
    parameters={"temperature": 0, "stop": ["<|im_start|>", "<|im_end|>"]},
)
CREATED = [
    ("application/vnd.docker.container.image.v1+json", "94f61fc54f91827c3e63506764809495f456f6bfa720dd54b4702ae0da86528c", 116),
    ("application/vnd.ollama.image.model", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98362432),
    ("application/vnd.ollama.image.template", "e3b2721cec511e3a627ae0993753abbf5c72cdf4cfcdbc8f5c33ce15c4c4e04b", 102),
    ("application/vnd.ollama.image.system", "97dd3b604bbdd384a65068c64b6e130c0a1b28c206cc82982b9703774702f24b", 14),
    ("application/vnd.ollama.image.license", "2af71558e438db0b73a20beab92dc278a94e1bbe974c00c1a33e3ab62d53a608", 10),
    ("application/vnd.ollama.image.params", "5413f21bab80781fcd5a59ec1058592ed63ecce859b9a00d9a4b3c4cca5902af", 75),
]


class Host:
    """A source, a store and a model folder."""

    def __init__(self, folder: Path, source: Path | None = None) -> None:
        self.folder = folder
        self.source = source or write_gguf(folder / "in" / "tiny.gguf")
        self.tree = OllamaTree(str(folder / "models"))

    @property
    def digest(self) -> Digest:
        return Digest(hashlib.sha256(self.source.read_bytes()).hexdigest())

    @property
    def stored(self) -> Path:
        return self.folder / "store" / "blobs" / "sha256" / self.digest[:2] / self.digest

    def request(self, name: str = "tiny", *, absent: bool = False, **changes: Any) -> Request:
        source = None if absent else as_source(f"file:{self.source}")
        return replace(Request(as_model_name(name), str(self.tree.root), source), **changes)

    def plan(self, request: Request, *, check: bool = False) -> Plan:
        return plan_model(request, Store(str(self.folder / "store")), check=check)

    def run(self, request: Request) -> Plan:
        """Do what the module does."""
        shown, store = self.plan(request, check=True), Store(str(self.folder / "store"))
        with store.locked():
            plan = plan_model(request, store)
            assert (plan.actions, plan.diff(), plan.bytes_copied) == (shown.actions, shown.diff(), shown.bytes_copied)
            predicted = plan.bytes_copied
            plan.apply()
        assert plan.bytes_copied == predicted
        return plan

    def blobs(self) -> set[str]:
        return {path.name for path in self.tree.blobs.iterdir()}

    def files(self) -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_layers_are_those_of_ollama_create() -> None:
    image = image_of(SMOLLM2, SMOLLM2_DIGEST, 98362432, SMOLLM2_SETTINGS)
    assert [(layer.media_type, layer.digest, layer.size) for layer in (image.config, *image.layers)] == CREATED
    manifest = json.loads(image.manifest())
    assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, "application/vnd.docker.distribution.manifest.v2+json")
    assert [layer["digest"] for layer in manifest["layers"]] == [f"sha256:{digest}" for _type, digest, _size in CREATED[1:]]


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (999, "999"), (1000, "1K"), (134515008, "134.52M"), (3_000_000, "3M"), (8_030_261_312, "8.0B"), (7_000_000_000, "7B")],
)
def test_numbers_are_rounded_as_ollama_does(number: int, shown: str) -> None:
    assert human_number(number) == shown


@pytest.mark.parametrize(("template", "renderer"), [("", "gemma4"), ("{{ .Prompt }}", None)])
def test_a_renderer_unless_a_template_is_given(template: str, renderer: str | None) -> None:
    image = image_of(replace(SMOLLM2, architecture="gemma4"), SMOLLM2_DIGEST, 1, Settings(template=template))
    assert json.loads(image.config.data or b"").get("renderer") == renderer
    stops = [layer.data for layer in image.layers if layer.media_type.endswith("params")]
    assert stops == ([] if template else [b'{"stop":["\\u003cturn|\\u003e"]}\n'])


def test_a_model_is_laid_out_without_a_second_copy(host: Host) -> None:
    plan = host.run(host.request(settings=SMOLLM2_SETTINGS))
    blob = host.tree.blob_path(host.digest)
    assert plan.bytes_copied == 0
    assert blob.stat().st_ino == host.stored.stat().st_ino == host.source.stat().st_ino
    manifest = json.loads((host.tree.manifests / "registry.ollama.ai" / "library" / "tiny" / "latest").read_bytes())
    for layer in [manifest["config"], *manifest["layers"]]:
        data = (host.tree.blobs / layer["digest"].replace(":", "-")).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (layer["digest"][7:], layer["size"])
    assert len(host.blobs()) == 6
    assert not host.tree.temp.exists()
    assert list((host.folder / "store" / "tmp").iterdir()) == []
    assert {path.stat().st_mode & 0o777 for path in host.tree.root.rglob("*") if path.is_dir()} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in host.tree.root.rglob("*") if path.is_file()} == {0o644}


def test_the_second_run_is_silent_and_touches_nothing(host: Host) -> None:
    host.run(host.request(settings=SMOLLM2_SETTINGS))
    before = host.files()
    again = host.plan(host.request(settings=SMOLLM2_SETTINGS))
    assert (again.changed, again.learned, again.actions) == (False, False, [])
    assert again.diff()["before"] == again.diff()["after"] != ""
    assert host.files() == before


def test_check_mode_writes_nothing(host: Host) -> None:
    before = host.files()
    plan = host.plan(host.request(), check=True)
    assert plan.changed
    assert (host.files(), host.tree.root.exists(), (host.folder / "store").exists()) == (before, False, False)


def test_a_stored_gguf_of_any_size_is_laid_out_within_a_second(host: Host) -> None:
    large = host.source.with_name("large.gguf")
    large.write_bytes(host.source.read_bytes())
    with large.open("r+b") as stream:
        stream.truncate(512 << 20)
    big = Host(host.folder, large)
    big.run(big.request("first"))
    started = time.process_time()
    plan = big.plan(big.request("second"))
    plan.apply()
    assert not big.plan(big.request("second")).changed
    assert time.process_time() - started < 1
    assert (plan.bytes_copied, large.stat().st_nlink) == (0, 3)


def test_a_source_on_another_file_system_is_copied_once(host: Host) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        other = Host(host.folder, write_gguf(Path(folder) / "tiny.gguf"))
        size = other.source.stat().st_size
        assert other.run(other.request()).bytes_copied == size
        assert other.stored.stat().st_ino == other.tree.blob_path(other.digest).stat().st_ino
        assert other.run(other.request("another")).bytes_copied == 0
        assert other.run(other.request("pinned", pinned=other.digest)).bytes_copied == 0
        assert not other.plan(other.request()).changed


def test_a_model_folder_on_another_file_system_gets_a_copy(host: Host) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        host.tree = OllamaTree(f"{folder}/models")
        assert host.run(host.request()).bytes_copied == host.source.stat().st_size
        again = host.plan(host.request())
        assert (again.changed, again.learned) == (False, False)
        host.tree.blob_path(host.digest).chmod(0o644)
        host.tree.blob_path(host.digest).write_bytes(b"\0" * host.source.stat().st_size)
        assert [action.split()[0] for action in host.run(host.request()).actions] == ["lay"]
        assert host.tree.blob_path(host.digest).read_bytes() == host.source.read_bytes()


def test_a_pinned_source_that_must_be_copied_is_read_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.source.chmod(0o664)
    request = host.request(pinned=host.digest)
    monkeypatch.setattr("ansible_collections.onprem.llm.plugins.module_utils.sources.file.hash_file", None)
    plan = host.plan(request)
    assert plan.ingest == "copy"
    plan.apply()
    again = host.plan(request)
    assert (again.changed, again.learned) == (False, False)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("mode", [0o644, 0o664])
def test_a_wrong_digest_is_refused_and_leaves_no_model(host: Host, check: bool, mode: int) -> None:
    host.source.chmod(mode)
    with pytest.raises(ModelError, match=f"has the sha256 {host.digest}, but 0000"):
        host.plan(host.request(pinned=Digest("0" * 64)), check=check).apply()
    assert not host.tree.root.exists()
    assert [path for path in host.folder.rglob("*") if path.is_file()] == [host.source]


def test_a_wrong_pin_is_caught_later_too(host: Host) -> None:
    host.run(host.request(pinned=host.digest))
    with pytest.raises(ModelError, match="was expected"):
        host.plan(host.request(pinned=Digest("0" * 64)))


def spoil(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "no GGUF":
        path.write_bytes(b"<html>" * 100)
    elif how == "adapter":
        write_gguf(path, kv=keys(general__type="adapter"))
    elif how == "projector":
        write_gguf(path, kv=keys(general__architecture="clip"))
    else:
        write_gguf(path, kv=keys(split__count=3))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("missing", "does not exist on this host"),
        ("folder", "is a folder, but Ollama takes one GGUF file"),
        ("truncated", "was cut short"),
        ("no GGUF", "is not a usable GGUF file"),
        ("adapter", "is a LoRA adapter"),
        ("projector", "vision or audio part"),
        ("split", "one of 3 parts"),
    ],
)
def test_a_bad_source_is_refused_before_anything_changes(host: Host, how: str, words: str) -> None:
    spoil(host.source, how)
    for check in (True, False):
        with pytest.raises(ModelError) as refusal:
            host.plan(host.request(), check=check)
        assert words in str(refusal.value) and str(host.source) in str(refusal.value)
    assert not host.tree.root.exists() and not (host.folder / "store").exists()


def test_a_full_disk_is_refused_before_anything_is_read(host: Host) -> None:
    """A sparse file larger than the disk, writable by the group, so that it would have to be copied."""
    space = os.statvfs(host.folder)
    host.source.chmod(0o664)
    with host.source.open("r+b") as stream:
        stream.truncate(space.f_bavail * space.f_frsize + (1 << 30))
    with pytest.raises(ModelError, match="bytes free, but"):
        host.plan(host.request(pinned=Digest("0" * 64)))
    assert not (host.folder / "store").exists()


def test_a_pinned_model_needs_its_source_no_more(host: Host) -> None:
    request = host.request(pinned=host.digest)
    host.run(request)
    digest = host.digest
    host.source.unlink()
    assert not host.plan(request).changed
    host.tree.manifest_path(request.name).unlink()
    plan = host.plan(request)
    plan.apply()
    assert plan.manifest and host.tree.blob_path(digest).exists()
    with pytest.raises(ModelError, match="does not exist"):
        host.plan(replace(request, pinned=None))


def test_a_file_replaced_by_a_new_one_is_taken_in_and_the_old_one_goes(host: Host) -> None:
    host.run(host.request())
    old, old_stored = host.digest, host.stored
    write_gguf(host.source.with_name("new"), fill=b"\x02").replace(host.source)
    plan = host.run(host.request())
    assert (plan.drop, plan.free) == ([old], [old])
    assert host.tree.blob_path(host.digest).read_bytes() == host.source.read_bytes()
    assert not old_stored.exists() and not host.tree.blob_path(old).exists()
    assert not host.plan(host.request()).changed


@pytest.mark.parametrize("times_kept", [False, True])
def test_a_linked_file_edited_in_place_is_noticed(host: Host, times_kept: bool) -> None:
    host.run(host.request())
    host.run(host.request("twin"))
    old, times = host.digest, host.source.stat()
    write_gguf(host.source, fill=b"\x02")
    if times_kept:
        os.utime(host.source, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ModelError, match="was expected"):
        host.plan(host.request(pinned=old))
    for name in ("tiny", "twin"):
        assert host.run(host.request(name)).changed
        assert not host.plan(host.request(name)).changed
    assert not (host.folder / "store" / "blobs" / "sha256" / old[:2] / old).exists()
    assert host.blobs() >= {f"sha256-{host.digest}"} and f"sha256-{old}" not in host.blobs()


def test_a_touched_source_is_hashed_once_and_nothing_changes(host: Host) -> None:
    host.run(host.request())
    os.utime(host.source, (1, 1))
    plan = host.plan(host.request())
    assert (plan.changed, plan.learned) == (False, True)
    plan.apply()
    assert not host.plan(host.request()).learned


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (Settings(system="Be kind."), {"system"}),
        (Settings(parameters={"num_ctx": 4096}), {"params"}),
        (Settings(template="{{ .Prompt }}", license="MIT"), {"template", "license"}),
    ],
)
def test_a_changed_setting_replaces_layers_and_removes_the_old_ones(host: Host, change: Settings, kinds: set[str]) -> None:
    host.run(host.request(settings=SMOLLM2_SETTINGS))
    plan = host.run(host.request(settings=change))
    assert plan.manifest and not plan.ingest and len(plan.drop) == 4
    after = json.loads(plan.diff()["after"])
    assert set(after) == {"manifest", "config", "model"} | kinds
    assert len(host.blobs()) == 2 + len(kinds)


@pytest.mark.parametrize("damage", ["blob missing", "blob of another size", "small blob edited", "foreign copy", "manifest damaged"])
def test_what_was_damaged_is_mended(host: Host, damage: str) -> None:
    request = host.request(settings=Settings(system="Be kind."))
    host.run(request)
    blob = host.tree.blob_path(host.digest)
    small = next(path for path in host.tree.blobs.iterdir() if path.read_bytes() == b"Be kind.")
    if damage == "blob missing":
        blob.unlink()
    elif damage == "blob of another size":
        blob.unlink()
        blob.write_bytes(b"short")
    elif damage == "small blob edited":
        small.write_bytes(b"Be evil.")
    elif damage == "foreign copy":
        blob.unlink()
        blob.write_bytes(host.source.read_bytes())
    else:
        host.tree.manifest_path(request.name).write_text("{")
    plan = host.run(request)
    assert plan.changed and plan.diff()["before"] != plan.diff()["after"]
    assert blob.samefile(host.stored) and small.read_bytes() == b"Be kind."
    assert not host.plan(request).changed


def test_absent_frees_what_only_it_used(host: Host) -> None:
    host.run(host.request("one", settings=Settings(system="One.")))
    host.run(host.request("two:b", settings=Settings(system="Two.")))
    plan = host.run(host.request("one", absent=True))
    assert [action.split()[0] for action in plan.actions] == ["remove", "remove", "forget"]
    assert len(host.blobs()) == 3 and host.stored.exists()
    assert not host.plan(host.request("one", absent=True)).changed
    plan = host.run(host.request("two:b", absent=True))
    assert plan.free == [host.digest] and not host.stored.exists() and host.source.exists()
    assert host.blobs() == set() and list(host.tree.manifests.iterdir()) == []
    assert host.source.stat().st_nlink == 1


def test_absent_where_there_is_nothing(host: Host) -> None:
    assert not host.plan(host.request(absent=True)).changed
    assert not host.tree.root.exists()


def foreign_model(tree: OllamaTree, digest: Digest, text: str | None = None) -> Path:
    """Lay out a manifest as if Ollama had pulled it from another registry."""
    path = tree.manifests / "registry.example:5000" / "team" / "pulled" / "v1"
    path.parent.mkdir(parents=True)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": 1}]
    path.write_text(text if text is not None else json.dumps({"config": {"digest": ""}, "layers": layers}))
    return path


def test_blobs_of_models_that_ollama_pulled_stay(host: Host) -> None:
    host.run(host.request())
    manifest = foreign_model(host.tree, host.digest)
    plan = host.run(host.request(absent=True))
    assert host.digest not in plan.drop and plan.free == [host.digest]
    assert manifest.exists() and host.tree.blob_path(host.digest).exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"layers": 1}',
        '{"config": {"digest": "x"}, "layers": []}',
        '{"config": {"digest": 7}, "layers": []}',
        "",
        pytest.param("[" * 100_000, id="too deep"),
    ],
)
def test_a_manifest_that_cannot_be_read_keeps_every_blob(host: Host, text: str) -> None:
    host.run(host.request())
    manifest = foreign_model(host.tree, host.digest, text)
    plan = host.run(host.request(absent=True))
    assert plan.drop == [] and str(manifest) in plan.warnings[0]
    assert host.tree.blob_path(host.digest).exists()


def test_a_name_that_differs_only_in_case_is_refused(host: Host) -> None:
    host.run(host.request("Tiny:Q4"))
    for request in (host.request("tiny:q4"), host.request("tiny:q4", absent=True)):
        with pytest.raises(ModelError, match="differs only in case from 'library/Tiny/Q4'"):
            host.plan(request)
    assert not host.plan(host.request("Tiny:Q4")).changed


@pytest.mark.parametrize("step", ["store", "blob", "manifest", "removal"])
def test_a_run_that_dies_shows_no_half_model_and_the_next_one_ends_it(host: Host, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    host.run(host.request(settings=Settings(system="Old.")))
    old = host.tree.read_manifest(as_model_name("tiny"))
    write_gguf(host.source.with_name("new"), fill=b"\x02").replace(host.source)
    request = host.request(settings=Settings(system="New."))

    def die(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "store":
            patch.setattr(Store, "_settle", die)
        elif step == "blob":
            patch.setattr(ollama_steps, "settle", die)
        elif step == "manifest":
            patch.setattr(ollama_steps, "write_file", die)
        else:
            patch.setattr(Store, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            host.run(request)
    assert (host.tree.read_manifest(as_model_name("tiny")) == old) is (step != "removal")
    tree, used = host.tree, json.loads(host.tree.manifest_path(request.name).read_bytes())
    assert all((tree.blobs / layer["digest"].replace(":", "-")).exists() for layer in [used["config"], *used["layers"]])
    host.run(request)
    assert not host.plan(request).changed
    assert len(host.blobs()) == 3 and not tree.temp.exists()
    assert len([path for path in (host.folder / "store" / "blobs").rglob("*") if path.is_file()]) == 1


def test_folders_and_small_files_belong_to_the_service(host: Host) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    request = host.request(owner=(12345, 23456), settings=Settings(system="Be kind."))
    host.run(request)
    shared = host.tree.blob_path(host.digest)
    made = [host.tree.root, *host.tree.root.rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made if path != shared} == {(12345, 23456)}
    assert shared.stat().st_uid == 0 and shared.stat().st_mode & 0o004
    assert not host.plan(request).changed
    os.chown(host.tree.blobs, 0, 0)
    plan = host.run(request)
    assert plan.actions == [f"change the owner of {host.tree.blobs}"]
    assert json.loads(plan.diff()["before"])["owners"] == {str(host.tree.blobs): [0, 0]}


def test_a_model_without_any_chat_template_is_a_warning(host: Host) -> None:
    write_gguf(host.source, kv=keys(tokenizer__chat_template=None))
    assert "has no chat template" in host.plan(host.request()).warnings[0]
    assert host.plan(host.request(settings=Settings(template="{{ .Prompt }}"))).warnings == []


def test_two_files_of_equal_size_are_two_models(host: Host) -> None:
    other = Host(host.folder, write_gguf(host.folder / "in" / "other.gguf", tensors=(Tensor(fill=b"\x03"),)))
    host.run(host.request("one"))
    other.run(other.request("two"))
    assert host.digest != other.digest
    assert not host.plan(host.request("one")).changed and not other.plan(other.request("two")).changed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"template": "{{ .Prompt"}, "do not pair"),
        ({"system": "a\0b"}, "without NUL"),
        ({"system": "a\udc80b"}, "halves of characters"),
        ({"license": "x" * (2 << 20)}, "at most"),
        ({"parameters": {"num_ctx": "2048"}}, "num_ctx must be a whole number"),
        ({"parameters": {"num_ctx": 2048.5}}, "num_ctx must be a whole number"),
        ({"parameters": {"num_ctx": True}}, "num_ctx must be a whole number"),
        ({"parameters": {"temperature": "0"}}, "temperature must be a number"),
        ({"parameters": {"temperature": float("nan")}}, "temperature must be a number"),
        ({"parameters": {"use_mmap": 1}}, "use_mmap must be a boolean"),
        ({"parameters": {"stop": "x"}}, "stop must be a list of texts"),
        ({"parameters": {"stop": [1]}}, "stop must be a list of texts"),
        ({"parameters": {"new": {"a": 1}}}, "new must be a number, a boolean"),
        ({"parameters": {"": 1}}, "parameter's name"),
    ],
)
def test_settings_that_ollama_could_not_use(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError) as refusal:
        checked_settings(**{"template": "", "system": "", "license": "", "parameters": {}, **settings})
    assert words in str(refusal.value)


def test_a_template_by_name_is_that_of_ollama() -> None:
    assert checked_settings("chatml", "", "", {}).template == SMOLLM2_SETTINGS.template


def test_settings_that_ollama_can_use() -> None:
    parameters = {"num_ctx": 2048, "temperature": 1, "top_p": 0.5, "use_mmap": False, "stop": ["a"], "of_the_future": "x"}
    assert checked_settings("{{ .Prompt }}", "a", "b", parameters) == Settings("{{ .Prompt }}", "a", "b", parameters)
