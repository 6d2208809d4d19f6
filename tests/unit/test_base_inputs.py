"""What the role ``base`` refuses, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.base_inputs import base_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.proxies import proxy_environment

GOOD: dict[str, Any] = {
    "user": "llm",
    "group": "llm",
    "data_dir": "/var/lib/llm",
    "config_dir": "/etc/llm",
    "home": "/var/lib/llm",
    "ca_certificates": [],
    "proxy": {"http": "", "https": "http://user:secret@proxy.example:3128", "no_proxy": ["localhost"]},
}
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_defaults_are_accepted() -> None:
    assert base_problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"user": "root"}, "must not run as root"),
        ({"group": "Big Group"}, "system account name"),
        ({"data_dir": "var/lib"}, "absolute path"),
        ({"data_dir": "/var/lib/../x"}, "absolute path"),
        ({"data_dir": "/var/lib/"}, "whose owner this role would change"),
        ({"config_dir": "/etc"}, "whose owner this role would change"),
        ({"home": "/a b"}, "absolute path"),
        ({"ca_certificates": [{"name": "../x", "content": PEM}]}, "file name"),
        ({"ca_certificates": [{"name": "x"}]}, "exactly one of"),
        ({"ca_certificates": [{"name": "x", "content": PEM, "src": "/a"}]}, "exactly one of"),
        ({"ca_certificates": [{"name": "x", "content": "junk"}]}, "PEM certificate"),
        ({"ca_certificates": [{"name": "x", "content": PEM.replace("AAAA", "A")}]}, "PEM certificate"),
        ({"proxy": {"https": "proxy.example:3128"}}, "must look like"),
        ({"proxy": {"http": "http://a b"}}, "must look like"),
    ],
)
def test_what_cannot_work_is_one_sentence(change: dict[str, Any], words: str) -> None:
    problems = base_problems({**GOOD, **change})
    assert len(problems) == 1
    assert words in problems[0]


def test_good_certificates_are_accepted() -> None:
    entries = [
        {"name": "corp", "content": PEM},
        {"name": "two", "content": f"# Corporate\n{PEM}{PEM}"},
        {"name": "file", "src": "/a.pem"},
        {"name": "old", "state": "absent"},
    ]
    assert base_problems({**GOOD, "ca_certificates": entries}) == []


def test_a_proxy_password_is_never_repeated() -> None:
    assert "hunter2" not in "".join(base_problems({**GOOD, "proxy": {"http": "ftp://u:hunter2@x"}}))


def test_hosts_without_the_proxy_as_text() -> None:
    found = proxy_environment({"https": "http://proxy.example:3128", "no_proxy": "localhost,.example"})
    assert found["no_proxy"] == "localhost,.example"


def test_the_proxy_of_a_download() -> None:
    assert proxy_environment({}) == {}
    found = proxy_environment({"https": "http://proxy.example:3128", "http": None, "no_proxy": ["localhost", ".example"]})
    assert found == {"http_proxy": "", "https_proxy": "http://proxy.example:3128", "no_proxy": "localhost,.example"}
