"""What the Hub tells of a repository, what is refused of it, and what a person is told where it is not told."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_source
from ansible_collections.onprem.llm.plugins.module_utils.pull import plan_pull
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import as_json, as_server
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub import HubSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.hub_tree import checked_tree, tree_entry
from ansible_collections.onprem.llm.plugins.module_utils.sources.network import KnownSource, remote_source_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.standin_upstream import Upstream

REPO, COMMIT, OID, HEX = "org/name", "a" * 40, "b" * 40, "c" * 64
FILES = {"config.json": "{}", "empty": "", "sub dir/notes+1 #é.txt": "x", "model.safetensors": "w" * 1000, "a.gguf": "g", "b.gguf": "h"}
TREE = f"/api/models/{REPO}/tree/{COMMIT}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("upstream")
    repos: dict[str, dict[str, Any]] = {
        REPO: {"branches": ["feature/x"]},
        "org/gated": {"gated": "manual"},
        "org/private": {"private": True},
    }
    for repo, settings in repos.items():
        for name, text in FILES.items():
            path = top / "hub" / repo / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (top / "hub" / repo / ".standin.json").write_text(json.dumps(settings))
    return top


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[Upstream]:
    with Upstream(root) as upstream:
        yield upstream


@pytest.fixture
def up(running: Upstream) -> Iterator[Upstream]:
    yield running
    running.faults.clear()
    running.replies.clear()
    running.options.page_size = 1000


def source(up: Upstream, text: str = f"hf:{REPO}", **access: Any) -> HubSource:
    found = remote_source_of(as_source(text), Access(endpoint=up.hub_url, **{"retries": 0, "timeout": 5, **access}))
    assert isinstance(found, HubSource)
    return found


def hostile(up: Upstream, body: bytes, headers: dict[str, str] | None = None) -> str:
    """Return what is said of such a list of files."""
    up.replies[TREE] = (200, headers or {}, body)
    with pytest.raises(ModelError) as refusal:
        source(up, f"hf:{REPO}@{COMMIT}").manifest()
    message = str(refusal.value)
    assert message.isprintable() and message.endswith(".") and len(message) < 600
    return message


@pytest.mark.parametrize("page_size", [0, 1, 3, 1000])
def test_a_repository(up: Upstream, page_size: int) -> None:
    up.options.page_size = page_size
    manifest = source(up).manifest()
    assert manifest.revision == up.snapshot(REPO).commit and manifest.size == 1005
    assert {blob.name: (blob.size, bool(blob.sha256), bool(blob.git_sha1)) for blob in manifest.blobs} == {
        name: (len(text.encode()), name.endswith(("gguf", "safetensors")), not name.endswith(("gguf", "safetensors")))
        for name, text in FILES.items()
    }
    listed = json.loads(manifest.data)
    assert [entry["path"] for entry in listed] == sorted([*FILES, "sub dir"]) and b"xet" not in manifest.data
    assert {entry["type"] for entry in listed} == {"file", "directory"}


def test_a_commit_is_not_asked_about(up: Upstream) -> None:
    commit, before = up.snapshot(REPO).commit, len(up.requests)
    assert source(up, f"hf:{REPO}@{commit}").manifest().revision == commit
    assert [seen.path for seen in up.requests[before:]] == [f"/api/models/{REPO}/tree/{commit}"]


def test_the_list_is_the_same_whichever_way_it_came(up: Upstream) -> None:
    first = source(up, f"hf:{REPO}@feature/x").manifest()
    up.options.page_size = 2
    assert source(up, f"hf:{REPO}@main").manifest().data == first.data


@pytest.mark.parametrize("resolve_cache", [False, True])
def test_every_file_can_be_fetched(root: Path, tmp_path: Path, resolve_cache: bool) -> None:
    with Upstream(root, resolve_cache=resolve_cache) as up:
        store, asked = Store(str(tmp_path)), source(up)
        pull = plan_pull(asked, store)
        assert pull.apply(lambda _line: None) == 1005
        assert {name: store.blob_path(digest).read_text() for name, digest in pull.digests.items()} == FILES


def test_a_token_goes_to_the_hub_only(up: Upstream, tmp_path: Path) -> None:
    before = len(up.requests)
    plan_pull(source(up, "hf:org/private", token=up.options.hub_token), Store(str(tmp_path))).apply(lambda _line: None)
    assert {(seen.server, seen.authorized) for seen in up.requests[before:]} == {("main", True), ("cdn", False)}


def test_files_come_from_the_state_that_was_decided_on(up: Upstream) -> None:
    asked = source(up)
    manifest = asked.manifest()
    old = KnownSource(asked, type(manifest)(manifest.ref, COMMIT, manifest.blobs))
    assert f"/resolve/{COMMIT}/config.json" in old.open(RemoteBlob("config.json", 2)).url
    assert old.manifest().revision == COMMIT
    assert f"/resolve/{manifest.revision}/sub%20dir/a%23b" in asked.open(RemoteBlob("sub dir/a#b", 2)).url
    assert "/resolve/feature%2Fx/a" in source(up, f"hf:{REPO}@feature/x").open(RemoteBlob("a", 2)).url


@pytest.mark.parametrize(
    ("text", "token", "words"),
    [
        ("hf:org/none", "", ["There is no repository org/none", "or it is private", "No token was given", "llm_hub_token"]),
        ("hf:org/none", "hf_standin", ["There is no repository org/none", "The token that was given may not read it"]),
        ("hf:org/private", "hf_standin_without_access", ["org/private", "may not read it"]),
        ("hf:org/name@none", "", ["has no revision none"]),
        ("hf:org/name@" + COMMIT, "", [f"has no revision {COMMIT}"]),
        ("hf:org/name", "wrong", ["refused to tell", "Invalid credentials", "was not accepted", "llm_hub_token"]),
        ("hf:org/name#c.gguf", "", ["no file 'c.gguf'", "choose one of 'a.gguf', 'b.gguf'"]),
        ("hf:org/name#c.onnx", "", ["no file 'c.onnx'", "look at the repository's page"]),
    ],
)
def test_what_is_said_where_nothing_is_told(up: Upstream, text: str, token: str, words: list[str]) -> None:
    with pytest.raises(ModelError) as refusal:
        source(up, text, token=token).manifest()
    assert all(word in str(refusal.value) for word in words) and "hf_standin" not in str(refusal.value)


@pytest.mark.parametrize(
    ("token", "words"), [("", "No token was given"), ("hf_standin_without_access", "The token that was given has no access to it")]
)
def test_what_is_said_of_a_gated_repository(up: Upstream, tmp_path: Path, token: str, words: str) -> None:
    pull = plan_pull(source(up, "hf:org/gated", token=token), Store(str(tmp_path)))
    with pytest.raises(ModelError, match="is gated") as refusal:
        pull.apply(lambda _line: None)
    assert words in str(refusal.value) and f"accept its conditions at {up.hub_url}/org/gated" in str(refusal.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status:code=403", "refused to tell"),
        ("status:code=404", "does not know 'hf:org/name@main'"),
        ("status:code=418", "answered 418"),
        ("status:code=503", "503"),
        ("hangup", "closed the connection"),
        ("garbage", "does not speak HTTP"),
        ("truncate:after=5", "too early"),
        ("chunked", ""),
    ],
)
def test_servers_that_fail(up: Upstream, fault: str, words: str) -> None:
    up.faults.add(fault)
    if not words:
        assert source(up).manifest().blobs
        return
    with pytest.raises(ModelError, match=words):
        source(up).manifest()


def test_a_passing_failure_is_mended(up: Upstream) -> None:
    up.faults.add("status:code=500,times=1")
    assert source(up, retries=2).manifest().blobs


def entry(**changes: Any) -> dict[str, Any]:
    found = {"type": "file", "oid": OID, "size": 1, "path": "a", **changes}
    return {key: value for key, value in found.items() if value is not None}


LFS = {"oid": HEX, "size": 7, "pointerSize": 130}
HOSTILE: list[tuple[Any, str]] = [
    ({}, "no list"),
    ("x", "no list"),
    ([1], "no 'type'"),
    ([[]], "no 'type'"),
    ([entry(type="link")], "an entry of the type 'link'"),
    ([entry(type=None)], "no 'type'"),
    ([entry(oid=None)], "no 'oid'"),
    ([entry(oid="x" * 40)], "no digest"),
    ([entry(oid=OID + "\n")], "no digest"),
    ([entry(oid=HEX)], "no digest"),
    ([entry(size=-1)], "no file can have"),
    ([entry(size=2**60)], "no file can have"),
    ([entry(size=True)], "no 'size'"),
    ([entry(size="1")], "no 'size'"),
    ([entry(size=1.5)], "no 'size'"),
    ([entry(path=None)], "no 'path'"),
    ([entry(path="../a")], "names the file '../a'"),
    ([entry(path="/etc/passwd")], "names the file"),
    ([entry(path=".git/config")], "names the file"),
    ([entry(path="a\u202eb")], "names the file"),
    ([entry(type="directory", path="a/..")], "names the file"),
    ([entry(lfs=[])], "no 'lfs'"),
    ([entry(lfs={**LFS, "oid": OID})], "no digest"),
    ([entry(lfs={**LFS, "size": None})], "no 'size'"),
    ([entry(), entry()], "a path twice"),
    ([entry(), entry(type="directory")], "both as a file and as a folder"),
    ([entry(), entry(path="a/b")], "'a' both as a file and as a folder"),
    ([entry(), entry(path="A")], "differ in case"),
    ([entry(path="x/a"), entry(path="X/b")], "differ in case"),
    ([entry(path="\u00e9"), entry(path="e\u0301")], "differ in case"),
]


@pytest.mark.parametrize(("found", "words"), HOSTILE)
def test_lists_that_are_refused(up: Upstream, found: Any, words: str) -> None:
    assert words in hostile(up, json.dumps(found).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[", b"[" * 100000, b'{"a":' * 100000, b"\xff\xfe", b"[" + b"9" * 100000 + b"]", b"NaN", b"<html>",
        b"[" + b"[]," * 1200000 + b"[]]", b'[{"size":' + b"1" * 30 + b"}]",
    ],
)  # fmt: skip
def test_answers_that_are_no_lists(up: Upstream, body: bytes) -> None:
    assert "answered with" in hostile(up, body)


def test_lists_without_end(up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "ansible_collections.onprem.llm.plugins.module_utils.sources.hub"
    monkeypatch.setattr(f"{module}.MOST_PAGES", 20)
    assert "more than 20 pages" in hostile(up, b"[]", {"Link": f'<{TREE}?cursor=1>; rel="next"'})
    monkeypatch.setattr(f"{module}.MOST_ENTRIES", 3)
    assert "more than 3 entries" in hostile(up, json.dumps([entry(path=str(n)) for n in range(4)]).encode())
    assert "goes on at" in hostile(up, b"[]", {"Link": f'<{up.cdn_url}/more>; rel="next"'})
    assert "must start with http" in hostile(up, b"[]", {"Link": '<file:///etc/passwd>; rel="next"'})


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"sha": 1}', b'{"sha": "main"}', b'{"sha": "' + b"A" * 40 + b'"}'])
def test_revisions_that_are_no_commit(up: Upstream, body: bytes) -> None:
    up.replies[f"/api/models/{REPO}/revision/main"] = (200, {}, body)
    with pytest.raises(ModelError, match="asked for the revision of"):
        source(up).manifest()


def test_what_is_kept_of_an_entry() -> None:
    found = tree_entry({**entry(size=130, lfs=LFS), "xetHash": HEX, "lastCommit": {}}, "x")
    assert found == {"type": "file", "oid": OID, "size": 7, "path": "a", "lfs": LFS}
    assert tree_entry({**entry(type="directory"), "lfs": None}, "x")["type"] == "directory"


def test_whatever_a_list_holds_ends_in_one_sentence() -> None:
    chance = random.Random(3)  # noqa: S311
    odd: list[Any] = [None, True, -1, 1, 2**70, 1.5, "", "a", "a/b", "A", "..", OID, HEX, [], {}, [1], LFS, {"oid": HEX}]
    good = 0
    for _round in range(3000):
        raw = [entry() for _count in range(chance.randrange(1, 4))]
        for item in raw:
            item["path"] = chance.choice(["a", "b", "a/b", "c/d/e", "A"])
            if chance.random() < 0.3:
                item[chance.choice(["type", "oid", "size", "path", "lfs"])] = chance.choice(odd)
        try:
            found = checked_tree([tree_entry(item, "The server") for item in as_json(json.dumps(raw).encode(), "The server")], "The server")
        except ModelError as exc:
            assert str(exc).isprintable() and str(exc).endswith(".")
            continue
        good += 1
        assert len({item["path"].lower() for item in found}) == len(found)
    assert good > 100


@pytest.mark.parametrize(("url", "server"), [("https://mirror.example/hf/", "https://mirror.example/hf"), ("http://h:1", "http://h:1")])
def test_servers(url: str, server: str) -> None:
    assert as_server(url) == server


@pytest.mark.parametrize(
    "url",
    ["", "mirror", "ftp://h", "http://", "http://u:p@h", "http://h/?a=b", "http://h/#:p@h", "http://h\n", "http://h:x", "http://u:1/:p@h"],
)
def test_servers_that_are_refused(url: str) -> None:
    with pytest.raises(ModelError) as refusal:
        as_server(url)
    assert ":p@" not in str(refusal.value)


@pytest.mark.parametrize(
    ("endpoint", "sent"),
    [
        ("", True),
        ("https://h", True),
        ("http://localhost:1", True),
        ("http://127.0.0.1", True),
        ("http://10.0.0.1", False),
        ("http://h", False),
    ],
)
def test_a_token_is_never_sent_unencrypted_over_a_network(endpoint: str, sent: int) -> None:
    origin = HubSource(HubRef(REPO, COMMIT), Access(endpoint=endpoint, token="hf_x")).open(RemoteBlob("a", 1))  # noqa: S106
    assert ("Authorization" in origin.headers) == bool(sent) and "hf_x" not in repr(origin)


def test_a_source_on_the_host_is_not_asked_for_over_the_network() -> None:
    with pytest.raises(ModelError, match="is not fetched over the network"):
        remote_source_of(FileRef("/a"), Access())
