"""What a registry tells of a model, how tokens are fetched and renewed, and what is refused."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_source
from ansible_collections.onprem.llm.plugins.module_utils.pull import plan_pull
from ansible_collections.onprem.llm.plugins.module_utils.refs import OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.network import KnownSource, remote_source_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.ollama import OllamaSource, blobs_of, server_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.registry_token import is_home, read_challenge
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from tests.standin_upstream import Upstream, add_ollama_model

IMAGE = "application/vnd.ollama.image."
WEIGHTS = b"GGUF" + bytes(range(256)) * 40000
TEXTS = {"template": "{{ .Prompt }}", "license": "one", "license#2": "two", "params": "{}"}
MANIFEST = "/v2/library/tiny/manifests/1b"
HEX = "c" * 64


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("upstream")
    add_ollama_model(top, "tiny:1b", WEIGHTS, texts=TEXTS)
    add_ollama_model(top, "ns/mlx:1b", b"x", media_type=f"{IMAGE}tensor")
    add_ollama_model(top, "cloudy:1b", b"x", media_type=f"{IMAGE}system")
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
    running.options.blobs, running.options.registry_auth, running.options.realm = "redirect", False, ""


def source(up: Upstream, text: str = "ollama:tiny:1b", pinned: str = "") -> OllamaSource:
    ref = as_source(text)
    assert isinstance(ref, OllamaRef)
    return OllamaSource(ref, Access(endpoint=up.registry_url, retries=0, timeout=5), Digest(pinned) if pinned else None)


def refusal(up: Upstream, text: str = "ollama:tiny:1b", pinned: str = "") -> str:
    with pytest.raises(ModelError) as refused:
        source(up, text, pinned).manifest()
    message = str(refused.value)
    assert message.isprintable() and message.endswith(".") and len(message) < 600
    return message


@pytest.mark.parametrize("auth", [False, True])
def test_a_model(root: Path, up: Upstream, auth: bool) -> None:
    up.options.registry_auth = auth
    data = (root / "ollama/library/tiny/1b").read_bytes()
    revision = hashlib.sha256(data).hexdigest()
    manifest = source(up, pinned=revision).manifest()
    assert manifest.data == data and manifest.revision == revision
    kinds = [f"{IMAGE}{kind}" for kind in ("model", "template", "license", "license#2", "params")]
    assert [blob.name for blob in manifest.blobs] == [*kinds, "application/vnd.docker.container.image.v1+json"]
    assert manifest.blobs[0].sha256 == hashlib.sha256(WEIGHTS).hexdigest() and manifest.blobs[3].size == 3
    assert "the tag has moved upstream" in refusal(up, pinned=HEX)


@pytest.mark.parametrize("blobs", ["redirect", "location", "plain"])
@pytest.mark.parametrize("auth", [False, True])
def test_every_blob_can_be_fetched(up: Upstream, tmp_path: Path, blobs: str, auth: bool) -> None:
    up.options.blobs, up.options.registry_auth = blobs, auth
    store, before = Store(str(tmp_path)), len(up.requests)
    pull = plan_pull(source(up), store)
    pull.apply(lambda _line: None)
    assert store.blob_path(pull.digests[f"{IMAGE}model"]).read_bytes() == WEIGHTS
    assert store.blob_path(pull.digests[f"{IMAGE}license#2"]).read_bytes() == b"two"
    assert not any(seen.authorized for seen in up.requests[before:] if seen.server == "cdn")


def test_a_token_is_renewed_where_it_has_expired(up: Upstream, tmp_path: Path) -> None:
    up.options.blobs, up.options.registry_auth = "location", True
    up.faults.add("expire-token:bytes=5000000")
    before = len(up.requests)
    plan_pull(source(up), Store(str(tmp_path))).apply(lambda _line: None)
    assert sum(seen.path == "/token" for seen in up.requests[before:]) >= 2


def test_a_known_manifest_needs_no_question(up: Upstream, tmp_path: Path) -> None:
    up.options.registry_auth = True
    asked = source(up)
    manifest = asked.manifest()
    fresh = KnownSource(remote_source_of(asked.ref, asked.access), manifest)
    before = len(up.requests)
    plan_pull(fresh, Store(str(tmp_path))).apply(lambda _line: None)
    assert "manifests" not in "".join(seen.path for seen in up.requests[before:])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ollama:none", "There is no model 'ollama:none:latest' at http://127.0.0.1"),
        ("ollama:tiny:2b", "There is no model"),
        ("ollama:ns/mlx:1b", "safetensors for MLX"),
        ("ollama:cloudy:1b", "has no weights: it runs in Ollama's cloud"),
    ],
)
def test_models_that_are_refused(up: Upstream, text: str, words: str) -> None:
    assert words in refusal(up, text)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status:code=403", "refused to give"),
        ("status:code=401", "wants to know who asks"),
        ("status:code=400", "answered 400"),
        ("status:code=500", "500"),
        ("truncate:after=5", "too early"),
        ("hangup", "closed the connection"),
    ],
)
def test_registries_that_fail(up: Upstream, fault: str, words: str) -> None:
    up.faults.add(fault)
    assert words in refusal(up)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((200, b"{}"), "no token"),
        ((200, b"[]"), "no token"),
        ((200, b'{"token": 1}'), "no token"),
        ((200, b'{"token": "a\\nb"}'), "no token"),
        ((200, b"[" * 60000), "no JSON"),
        ((403, b""), "answered with 403"),
        ((200, b'{"access_token": "x"}'), "refused to give"),
    ],
)
def test_tokens_that_are_none(up: Upstream, reply: tuple[int, bytes], words: str) -> None:
    up.options.registry_auth = True
    up.replies["/token"] = (reply[0], {}, reply[1])
    assert words in refusal(up)


@pytest.mark.parametrize("realm", ["http://evil.example/token", "http://127.0.0.2:1/token", "ftp://x", "https://example/token?a=b"])
def test_tokens_are_not_fetched_elsewhere(up: Upstream, realm: str) -> None:
    up.options.registry_auth, up.options.realm = True, realm
    before = len(up.requests)
    refusal(up)
    assert len(up.requests) == before + 1


def layer(**changes: Any) -> dict[str, Any]:
    found = {"mediaType": f"{IMAGE}model", "digest": f"sha256:{HEX}", "size": 1, **changes}
    return {key: value for key, value in found.items() if value is not None}


def page(*layers: Any, config: Any = None) -> bytes:
    return json.dumps({"layers": list(layers), "config": config or layer(mediaType="c", digest="sha256:" + "d" * 64)}).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"[]", "no 'layers'"),
        (b"{}", "no 'layers'"),
        (b'{"layers": {}}', "no 'layers'"),
        (b'{"layers": []}', "no 'config'"),
        (b'{"manifests": []}', "list of images for several platforms"),
        (b'{"layers":' + b"[" * 100000, "no JSON"),
        (page(), "has no weights"),
        (page(1), "no 'mediaType'"),
        (page(layer(mediaType=None)), "no 'mediaType'"),
        (page(layer(mediaType="")), "the media type"),
        (page(layer(mediaType="a\nb")), "the media type"),
        (page(layer(mediaType="a#2")), "the media type"),
        (page(layer(mediaType="a" * 300)), "the media type"),
        (page(layer(digest=HEX)), "the digest"),
        (page(layer(digest="sha256:" + HEX.upper())), "the digest"),
        (page(layer(digest="sha512:" + HEX)), "the digest"),
        (page(layer(digest="sha256:../" + HEX[3:])), "the digest"),
        (page(layer(digest=5)), "no 'digest'"),
        (page(layer(size=-1)), "no file can have"),
        (page(layer(size="1")), "no 'size'"),
        (page(layer(size=True)), "no 'size'"),
        (page(layer(size=2**62)), "no file can have"),
        (page(layer(), layer(size=2)), "two sizes for the blob"),
        (page(layer(), layer(mediaType=f"{IMAGE}tensor")), "safetensors for MLX"),
        (page(*[layer()] * 5000), "more than 4096 layers"),
    ],
)
def test_manifests_that_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError) as refused:
        blobs_of(data, "The server", "ollama:x")
    assert words in str(refused.value) and str(refused.value).isprintable() and len(str(refused.value)) < 500


def test_layers_that_nobody_knows_are_taken() -> None:
    found = blobs_of(page(layer(), layer(mediaType="application/vnd.new", digest="sha256:" + "e" * 64)), "x", "x")
    assert [blob.name for blob in found] == [f"{IMAGE}model", "application/vnd.new", "c"]


def test_whatever_a_manifest_holds_ends_in_one_sentence() -> None:
    chance = random.Random(5)  # noqa: S311
    odd: list[Any] = [None, True, -1, 2**70, 1.5, "", "a", f"sha256:{HEX}", [], {}, [1], layer()]
    good = 0
    for _round in range(3000):
        layers: list[Any] = [layer() for _count in range(chance.randrange(1, 4))]
        for place in range(len(layers)):
            if chance.random() < 0.2:
                layers[place][chance.choice(list(layers[place]))] = chance.choice(odd)
            if chance.random() < 0.02:
                layers[place] = chance.choice(odd)
        try:
            found = blobs_of(page(*layers, config=chance.choice(odd)), "The server", "ollama:x")
        except ModelError as exc:
            assert str(exc).isprintable() and str(exc).endswith(".")
            continue
        good += 1
        assert len({blob.name for blob in found}) == len(found)
    assert good > 100


SERVICE = 'service="s"'


@pytest.mark.parametrize(
    ("challenge", "url", "query"),
    [
        (
            f'Bearer realm="https://r.example/token",{SERVICE},scope="r:a/b:pull"',
            "https://r.example/token",
            "service=s&scope=r%3Aa%2Fb%3Apull",
        ),
        ('bearer  REALM="https://r.example/t?x=1" , scope="a b"', "https://r.example/t?x=1", "scope=a&scope=b"),
        ("Bearer realm=https://r.example/token", "https://r.example/token", ""),
    ],
)
def test_challenges(challenge: str, url: str, query: str) -> None:
    assert (read_challenge(challenge, "https://r.example")[0].url, read_challenge(challenge, "https://r.example")[1]) == (url, query)


@pytest.mark.parametrize("challenge", ["", "Basic realm=x", "Bearer", "Bearer scope=x", "Bearer realm=", 'Bearer realm="x"', "x" * 100000])
def test_challenges_that_are_refused(challenge: str) -> None:
    with pytest.raises(ModelError) as refused:
        read_challenge(challenge, "https://r.example")
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("realm", "server", "home"),
    [
        ("https://r.example/token", "https://r.example", True),
        ("http://r.example/token", "http://r.example", True),
        ("http://r.example:1/token", "http://r.example:1/x", True),
        ("https://company.example/token", "https://registry.company.example", True),
        ("http://r.example/token", "https://r.example", False),
        ("https://r.example:1/token", "https://r.example", False),
        ("https://example/token", "https://registry.example", False),
        ("https://other.example/token", "https://registry.company.example", False),
        ("https://ny.example/token", "https://registry.company.example", False),
        ("https://0.0.1/token", "https://10.0.0.1", False),
        ("http://169.254.169.254/latest", "https://registry.company.example", False),
    ],
)
def test_where_tokens_may_come_from(realm: str, server: str, home: bool) -> None:
    assert is_home(as_address(realm), as_address(server)) == home


@pytest.mark.parametrize(
    ("text", "endpoint", "server"),
    [
        ("ollama:a", "", "https://registry.ollama.ai"),
        ("ollama:a", "https://registry.ollama.ai/", "https://registry.ollama.ai"),
        ("ollama:a", "http://mirror:8080", "http://mirror:8080"),
        ("ollama:hf.co/org/a", "", "https://hf.co"),
        ("ollama:hf.co/org/a", "https://registry.ollama.ai", "https://hf.co"),
        ("ollama:hf.co/org/a", "https://mirror", "https://mirror"),
    ],
)
def test_which_server_is_asked(text: str, endpoint: str, server: str) -> None:
    ref = as_source(text)
    assert isinstance(ref, OllamaRef) and server_of(ref, Access(endpoint=endpoint)) == server
