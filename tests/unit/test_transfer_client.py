"""How servers are asked: addresses, proxies, authorities, redirects, small answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.transfer import failures
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address, proxy_for, without_secrets
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client, get
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import retry_after_of, wait_before
from tests.standin_upstream import Upstream
from tests.unit.helpers.standin_endpoint import Authority
from tests.unit.helpers.standin_proxy import StandInProxy

QUICK = Access(retries=2, timeout=2.0)
LIMIT = 1000


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(failures, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream(tmp_path) as upstream:
        upstream.replies["/x"] = (200, {"X-Told": "yes"}, b"hello")
        yield upstream


@pytest.mark.parametrize(
    ("url", "shown", "target"),
    [
        ("http://h", "http://h/", "/"),
        ("HTTPS://H:443/a%20b?sig=secret", "https://h/a b", "/a%20b?sig=secret"),
        ("http://[::1]:8080/x#part", "http://[::1]:8080/x", "/x"),
        ("http://h/%0a", "http://h/\\n", "/%0a"),
        ("http://h/" + "a" * 200, "http://h/" + "a" * 99 + "...", "/" + "a" * 200),
    ],
)
def test_addresses(url: str, shown: str, target: str) -> None:
    address = as_address(url)
    assert (str(address), address.target) == (shown, target) and "secret" not in repr(address)


@pytest.mark.parametrize(
    "url", ["", "h/x", "ftp://h/x", "http:///x", "http://h/a b", "http://h/\r\nX: y", "http://h:x/", "http://h:99999/", "http://hé/"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ModelError, match="A URL must start with"):
        as_address(url)


def test_a_password_in_an_address_is_not_told() -> None:
    with pytest.raises(ModelError, match="has a user or password in it") as caught:
        as_address("http://me:secret@h/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h:8443/a/b.whl", "https://h:8443/a/b.whl"),
        ("https://h/a?sig=secret", "https://h/a"),
        ("https://h/a@b#secret", "https://h/a@b"),
        ("https://me:secret@h:1/a?x=secret@h", "https://h:1/a"),
        ("ftp://me:secret@[::1]:1/a", "ftp://[::1]:1/a"),
        ("me:secret@h/a", "h/a"),
        ("https://me:sec/secret@h/a", "https://h/a"),
        ("https://me:12/sec ret@h/a", "https://h/a"),
        ("https://me:secret@12/secret@h/a", "https://h/a"),
        ("https://me:secret@h:port/a", "https://..."),
        ("https://me:secret@[h/a?x=secret@h", "https://..."),
        ("me:secret://me@h", "...://h"),
        ("https://me:sec?secret@h/a", "https://..."),
        ("https://me:sec#secret@h/a", "https://..."),
        ("h/a b", "h/a b"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_bad_address(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:secret@h/",
        "http://me:secret@h /x",
        "me:secret@h",
        "https://me:x/secret@h/ ?secret",
        "https://me:secret@h:port/x",
        "https://me:12/secret @h",
        "https://me:x@12/secret@h",
        "http://me:secret@[h/",
    ],
)
def test_secrets_of_a_bad_address_are_not_told(url: str) -> None:
    with pytest.raises(ModelError) as caught:
        as_address(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://h/", None),
        ({"http_proxy": "http://p:3128"}, "http://h/", "p:3128"),
        ({"http_proxy": "p:3128"}, "http://h/", "p:3128"),
        ({"http_proxy": "http://p:3128"}, "https://h/", None),
        ({"https_proxy": "http://p"}, "https://h/", "p:80"),
        ({"all_proxy": "http://p:1"}, "https://h/", "p:1"),
        ({"HTTPS_PROXY": "http://u:secret@p:1"}, "https://h/", "p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "x,h"}, "http://h/", None),
        ({"http_proxy": "http://p:1", "no_proxy": ".corp"}, "http://a.corp/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://10.2.3.4/", None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8,x/y"}, "http://11.2.3.4/", "p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, "http://h/", None),
        ({"http_proxy": "http://p:1"}, "http://localhost:8123/", None),
        ({"http_proxy": "http://p:1"}, "http://api.localhost/", None),
        ({"http_proxy": "http://p:1"}, "http://127.8.9.1/", None),
        ({"all_proxy": "http://p:1"}, "https://[::1]:1/", None),
        ({"http_proxy": "http://p:1"}, "http://localhost.example/", "p:1"),
    ],
)
def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(as_address(url))
    assert (str(found) if found else None) == proxy and "secret" not in repr(found)


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://u:secret@p:1")
    with pytest.raises(
        ModelError, match=r"HTTPS_PROXY names a proxy of the kind 'socks5', but one like http://host:port was expected"
    ) as caught:
        proxy_for(as_address("https://h/"))
    assert "secret" not in str(caught.value)


def test_a_small_answer(up: Upstream) -> None:
    with Client(QUICK) as client:
        reply = client.get(f"{up.hub_url}/x", {"Authorization": "Bearer t"}, LIMIT)
        assert (reply.status, reply.body, reply.headers["x-told"]) == (200, b"hello", "yes")
        assert client.get(f"{up.hub_url}/none", {}, LIMIT).status in {401, 404}
    with pytest.raises(ModelError, match="answered with more than 3 bytes"):
        get(f"{up.hub_url}/x", {}, QUICK, 3)
    with pytest.raises(ModelError, match="header Authorization would hold control characters"):
        get(f"{up.hub_url}/x", {"Authorization": "a\r\nX: y"}, QUICK, 3)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("status:code=503", "the server answered 503"),
        ("hangup", "without an answer"),
        ("garbage", "does not speak HTTP"),
        ("truncate:after=2", "too early"),
    ],
)
def test_a_small_answer_is_asked_for_again(up: Upstream, spec: str, said: str) -> None:
    up.faults.add(f"{spec}{',' if ':' in spec else ':'}times=2")
    assert get(f"{up.hub_url}/x", {}, QUICK, LIMIT).body == b"hello"
    up.faults.clear()
    up.faults.add(spec)
    with pytest.raises(ModelError, match=rf"http://127.0.0.1:\d+/x was to be fetched, but .*{said}.* \(3 attempts\)"):
        get(f"{up.hub_url}/x?secret", {}, QUICK, LIMIT)


def test_redirects_keep_secrets_at_home(up: Upstream, tmp_path: Path) -> None:
    secret = {"Authorization": "Bearer t", "Cookie": "c", "X-Plain": "p"}
    up.replies["/near"] = (302, {"Location": "/x"}, b"")
    assert get(f"{up.hub_url}/near", secret, QUICK, LIMIT).body == b"hello"
    assert [seen.authorized for seen in up.requests] == [True, True]
    for place in ("http://[bad/", "http://me:secret@[bad/?secret", "http://me:secret@x:y/"):
        up.replies["/odd"] = (302, {"Location": place}, b"")
        with pytest.raises(ModelError, match=r"but a URL was expected|A URL must start with") as caught:
            get(f"{up.hub_url}/odd", {}, QUICK, LIMIT)
        assert "secret" not in str(caught.value)
    with Upstream(tmp_path) as other:
        other.replies["/y"] = (200, {}, b"far")
        up.replies["/far"] = (307, {"Location": f"{other.hub_url}/y?a b=é"}, b"gone there")
        reply = get(f"{up.hub_url}/far", secret, QUICK, LIMIT)
        assert reply.body == b"far" and reply.url.endswith("/y?a%20b=%C3%A9") and not other.requests[0].authorized
    up.replies["/loop"] = (301, {"Location": "/loop"}, b"")
    with pytest.raises(ModelError, match="led through more than 10 redirects"):
        get(f"{up.hub_url}/loop", {}, QUICK, LIMIT)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), "private")


def pair_of(authority: Authority, name: str = "127.0.0.1") -> str:
    before = set(authority.folder.glob("server-*.pem"))
    authority.context(name)
    (made,) = set(authority.folder.glob("server-*.pem")) - before
    return str(made)


def test_a_private_authority(authority: Authority, tmp_path: Path) -> None:
    with Upstream(tmp_path, tls_cert=pair_of(authority)) as secured, Upstream(tmp_path) as plain:
        secured.replies["/x"] = (200, {}, b"hello")
        trusting = Access(retries=0, timeout=2.0, ca_file=str(authority.file))
        as_text = Access(retries=0, timeout=2.0, ca_content=authority.file.read_text())
        for known in (trusting, as_text):
            assert get(f"{secured.hub_url}/x", {}, known, LIMIT).body == b"hello"
        with pytest.raises(ModelError, match=r"certificate of 127.0.0.1:\d+ is not trusted .* give the certificate authority as ca_path"):
            get(f"{secured.hub_url}/x", {}, QUICK, LIMIT)
        with pytest.raises(ModelError, match="TLS could not be agreed on"):
            get(plain.hub_url.replace("http:", "https:"), {}, Access(retries=0, timeout=2.0), LIMIT)
        secured.replies["/down"] = (302, {"Location": f"{plain.hub_url}/x"}, b"")
        with pytest.raises(ModelError, match=r"redirects to http://.*, which is not encrypted, but https was expected"):
            get(f"{secured.hub_url}/down", {}, trusting, LIMIT)
        (tmp_path / "none.pem").write_text("no certificate")
        with pytest.raises(ModelError, match="ca_path must name a file with certificates"):
            get(f"{secured.hub_url}/x", {}, Access(ca_file=str(tmp_path / "none.pem")), LIMIT)
        with pytest.raises(ModelError, match="ca_content must hold certificates"):
            get(f"{secured.hub_url}/x", {}, Access(ca_content="no certificate"), LIMIT)


def test_through_a_proxy(up: Upstream, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = Access(retries=0, timeout=2.0, ca_file=str(authority.file))
    with Upstream(tmp_path, tls_cert=pair_of(authority, "hub.example")) as secured, StandInProxy("me:pass word") as proxy:
        far, far_secured = (url.replace("127.0.0.1", "hub.example") for url in (up.hub_url, secured.hub_url))
        secured.replies["/x"] = (200, {}, b"hidden")
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:pass%20word@{proxy.address}")
        assert get(f"{far}/x", {}, trusting, LIMIT).body == b"hello"
        assert get(f"{far_secured}/x", {}, trusting, LIMIT).body == b"hidden"
        assert proxy.asked == [f"GET {far}/x", f"CONNECT {far_secured[8:]}"]
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:wrong@{proxy.address}")
        for url in (far, far_secured):
            with pytest.raises(ModelError, match=r"The proxy 127.0.0.1:\d+ wants a user and password") as caught:
                get(f"{url}/x", {}, trusting, LIMIT)
            assert "wrong" not in str(caught.value)


def test_no_token_in_clear_through_a_proxy(up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"Authorization": "Bearer secret"}
    with StandInProxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        for host in ("127.0.0.1", "localhost"):
            assert get(f"{up.hub_url.replace('127.0.0.1', host)}/x", secret, QUICK, LIMIT).body == b"hello"
        with pytest.raises(ModelError, match=r"A token for hub.example:\d+ would pass the proxy 127.0.0.1:\d+ in clear") as caught:
            get(f"{up.hub_url.replace('127.0.0.1', 'hub.example')}/x", secret, QUICK, LIMIT)
        assert proxy.asked == [] and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:10 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 10),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:10 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_patience(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers) == seconds
    assert 0 <= wait_before(3) <= 0.04 and 5 <= wait_before(1, 5.0) <= 6 and wait_before(1, 1e9) < 121
