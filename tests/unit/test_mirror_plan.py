"""What a mirror publishes of the model list, what that moves, and what the role refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror import mirror_problems, mirror_removal_problems, mirror_removals
from ansible_collections.onprem.llm.plugins.plugin_utils.mirror_plan import mirror_left_out, mirror_publications, mirror_report

ROLE = Path(__file__).parents[2] / "roles" / "mirror"
COMMIT = "a" * 40
OPEN = {"source": "open", "hub_token": "hf_secret"}


def published(*entries: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    models = [{"name": f"m{number}", **entry} for number, entry in enumerate(entries)]
    found = mirror_publications(models, OPEN, "/srv/m", **more)
    for params in found:
        assert params.pop("root") == "/srv/m"
        if params["state"] == "present":
            hub = params["source"].startswith("hf:")
            assert params.pop("endpoint") == ("https://huggingface.co" if hub else "https://registry.ollama.ai")
            assert params.pop("with_token") == hub and "hf_secret" not in str(params)
    return found


def test_one_publication_for_each_revision() -> None:
    gguf = f"hf:org/gguf@{COMMIT}#"
    assert published({"source": gguf + "a[1].gguf"}, {"source": gguf + "b.gguf"}, {"source": gguf + "b.gguf"}) == [
        {
            "source": f"hf:org/gguf@{COMMIT}",
            "state": "present",
            "update": False,
            "allow": ["a[[]1].gguf", "b.gguf"],
            "branch": "main",
        }
    ]
    whole = published({"source": gguf + "a.gguf"}, {"source": f"hf:org/gguf@{COMMIT}", "engine": "vllm"}, ignore=["*.bin"])
    assert whole == [{"source": f"hf:org/gguf@{COMMIT}", "state": "present", "update": False, "branch": "main", "ignore": ["*.bin"]}]


def test_a_file_that_an_entry_names_is_never_ignored() -> None:
    whole = {"source": "hf:org/both", "engine": "vllm"}
    named = {"source": "hf:org/both#sub/a.Q4.gguf"}
    patterns = ["*.bin", "*.gguf", "sub/", "original/"]
    assert published(whole, named, ignore=patterns)[0]["ignore"] == ["*.bin", "original/"]
    assert "ignore" not in published(whole, named, ignore=["*.gguf"])[0]
    # Another revision, or an entry that is withdrawn, asks for nothing here.
    others = published(whole, {"source": f"hf:org/both@{COMMIT}#a.gguf"}, {**named, "state": "absent"}, ignore=patterns)
    assert others[0]["ignore"] == patterns


def test_main_is_given_only_where_one_revision_is_meant() -> None:
    two = published({"source": f"hf:o/n@{COMMIT}", "engine": "vllm"}, {"source": "hf:o/n@main", "engine": "vllm", "update": True})
    assert [("branch" in params, params["update"]) for params in two] == [(False, False), (False, True)]


def test_what_is_absent_is_withdrawn_unless_another_entry_needs_it() -> None:
    assert published({"source": "ollama:tiny", "state": "absent"}) == [{"source": "ollama:tiny:latest", "state": "absent", "update": False}]
    both = published({"source": "ollama:tiny", "state": "absent"}, {"source": "ollama:tiny:latest", "sha256": "b" * 64}, update=True)
    assert both == [{"source": "ollama:tiny:latest", "state": "present", "update": True, "sha256": "b" * 64}]
    assert published({"state": "absent"}, {"source": "file:/srv/in/x.gguf"}) == []


def test_two_models_with_one_name_on_the_mirror() -> None:
    with pytest.raises(ModelError, match="would have one name on the mirror"):
        mirror_publications([{"name": "a", "source": "ollama:tiny"}, {"name": "b", "source": "ollama:h.example/library/tiny"}], OPEN, "/m")


def test_what_lies_on_the_hosts_is_named() -> None:
    models = [{"name": "here", "source": "file:/srv/x.gguf"}, {"name": "gone", "source": "file:/y.gguf", "state": "absent"}]
    assert mirror_left_out([*models, {"name": "net", "source": "ollama:tiny"}]) == ["here"]


def test_the_plan_counts_what_is_shared_once() -> None:
    need = {"folder": "/srv/m", "size": 5, "content": "x", "device": 1, "free": 7_000_000_000}
    shared = {"size": 4_000_000_000, "revision": "c" * 40, "moved_to": "", "actions": ["publish"], "missing": {"x": 3_000_000_000}}
    results: list[dict[str, Any]] = [
        {**shared, "name": "org/a", "bytes_to_fetch": 2_500_000_000, "needs": [need]},
        {**shared, "name": "b:latest", "bytes_to_fetch": 3_000_000_000, "needs": [need]},
        {**shared, "name": "c:latest", "bytes_to_fetch": 0, "missing": {}, "actions": [], "moved_to": "d" * 64},
        {"name": "gone:latest", "actions": ["publish"]},
        {"name": "never:latest", "actions": []},
    ]
    report = mirror_report(results)
    assert report["bytes"] == 2_500_000_000 and report["changed"] and report["needs"] == [need, need]
    assert report["lines"] == [
        "org/a: publish cccccccccccc, 2.5 GB of 4.0 GB to fetch",
        "b:latest: publish cccccccccccc, 0 B of 4.0 GB to fetch",
        "c:latest: published cccccccccccc, 0 B of 4.0 GB to fetch; moved upstream to dddddddddddd",
        "gone:latest: withdraw",
        "never:latest: not published",
        "in all: 2.5 GB to fetch, 7.0 GB free",
    ]
    assert mirror_report([])["lines"] == ["in all: 0 B to fetch"]


def test_the_plan_tells_what_is_no_model() -> None:
    others: dict[str, dict[str, Any]] = {
        "wheels": {"files": ["a", "b"], "actions": ["fetch"], "bytes_fetched": 5_000_000},
        "artefacts": {"files": ["a"], "actions": [], "bytes_fetched": 0},
        "apt": {"packages": [], "actions": ["remove"]},
        "rpm": {"packages": [], "actions": []},
    }
    # The tasks that plan say of themselves that they change nothing.
    report = mirror_report([], {what: {**result, "changed": False} for what, result in others.items()})
    assert report["changed"] and report["bytes"] == 5_000_000
    assert report["lines"] == [
        "wheels: publish 2 files, 5.0 MB to fetch",
        "artefacts: published 1 file, 0 B to fetch",
        "apt: withdraw",
        "in all: 5.0 MB to fetch",
    ]


GIVEN = {"tls_mode": "given", "tls_certificate": "/etc/ssl/mirror.pem", "tls_key": "/etc/ssl/mirror.key", "tls_remote_src": True}
HUB = [{"name": "a", "source": "hf:org/name", "engine": "vllm"}]
OWN = {"name": "tool", "version": "1", "src": "/srv/in/tool"}
SECRET_PROXY = {"https": "http://user:hunter2@proxy.example:3128"}
GOOD: dict[str, Any] = {
    **{name.removeprefix("mirror_"): value for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text()).items()},
    "port": 8443,
    "network": OPEN,
    "proxy": {},
    "models": [],
    "os_family": "Debian",
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"root": "/data/mirror"},
        {"root": "/home/mirror", "harden": False},
        {"tls_mode": "none", "port": 8080},
        {"allow": ["0.0.0.0/0", "::/0"]},
        {**GIVEN, "tls_key": "/etc/ssl/private/roots.pem"},
        {**GIVEN, "tls_key": "/root/mirror.pem", "harden": False},
        {"tls_mode": "none", "port": 8080, "tls_dir": "/root/tls"},
        {"allow": ["10.0.0.7", "192.0.2.0/24", "2001:db8::/32", "::ffff:192.0.2.0/120"]},
        {"models": HUB, "proxy": {"https": "http://proxy.example:3128", "http": None}},
        # Nothing is fetched.
        {"models": [{**HUB[0], "state": "absent"}], "proxy": SECRET_PROXY, "artefacts": [OWN]},
    ],
)
def test_what_is_accepted(change: dict[str, Any]) -> None:
    assert mirror_problems(GOOD | change) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"root": "srv"}, "mirror_root must be an absolute path"),
        ({"root": "/srv/a b"}, "mirror_root must be an absolute path"),
        ({"root": "/srv/../etc"}, "mirror_root must be an absolute path"),
        ({"root": "/srv/m/"}, "mirror_root must be an absolute path"),
        ({"root": "/srv"}, "a folder of the system"),
        ({"root": "/home/x/mirror"}, "does not see in its sandbox"),
        ({"root": "/tmp/mirror"}, "does not see in its sandbox"),  # noqa: S108  a value to judge
        ({"listen": ["eth0"]}, "mirror_listen has 'eth0'"),
        ({"port": 0}, "mirror_port must be from 1 to 65535"),
        ({"server_names": ["a;b"]}, "mirror_server_names has"),
        ({"allow": []}, "mirror_allow is empty"),
        ({"allow": ["10.0.0.1/8"]}, "mirror_allow has '10.0.0.1/8'"),
        ({"allow": ["all; deny"]}, "mirror_allow has"),
        ({"client_ca": "/no/such.pem"}, "mirror_client_ca must be"),
        ({"client_ca": "/no/such.pem", "tls_mode": "none"}, "mirror_tls_mode is 'none'"),
        ({"tls_mode": "given"}, "mirror_tls_certificate is empty"),
        ({"ca_export": "ca.pem"}, "mirror_ca_export must be an absolute path"),
        ({"allow": ["10.0.0.0/255.0.0.0"]}, "mirror_allow has '10.0.0.0/255.0.0.0'"),
        ({"allow": ["10.0.0.1/255.0.0.0"]}, "mirror_allow has"),
        ({"allow": ["10.0.0.0/0.255.255.255"]}, "mirror_allow has"),
        ({"allow": ["fe80::1/10"]}, "mirror_allow has"),
        ({"allow": ["fe80::%eth0/64"]}, "mirror_allow has"),
        ({"allow": [10]}, "mirror_allow has 10"),
        *[
            ({name: "*.bin"}, rf"^mirror_{name} must be a list, but it is '\*\.bin': write it as a list\.$")
            for name in ("ignore", "allow", "listen", "server_names", "apt", "apt_architectures")
        ],
        ({"ignore": ["*.bin", 1]}, "mirror_ignore has 1, but each entry must be a text"),
        ({"server_names": [None]}, "mirror_server_names has None"),
        *[
            ({**GIVEN, key: f"{folder}/mirror.pem"}, f"mirror_{key} is '{folder}/mirror.pem', which nginx does not see in its sandbox")
            for key in ("tls_certificate", "tls_key")
            for folder in ("/root", "/home/x", "/tmp")  # noqa: S108  a value to judge
        ],
        ({**GIVEN, "tls_dir": "/root/tls", "client_ca": "/ca.pem"}, "mirror_tls_dir is '/root/tls', which nginx does not see"),
        ({"tls_dir": "/root/tls"}, "mirror_tls_dir is '/root/tls', which nginx does not see in its sandbox"),
        ({"models": HUB, "proxy": SECRET_PROXY}, "^base_proxy holds a user name or a password.*carry its tree here"),
        ({"wheels": [{"lock": "uv"}], "proxy": SECRET_PROXY}, "^base_proxy holds"),
        ({"artefacts": [{"name": "ollama", "version": "0.34.4"}], "proxy": SECRET_PROXY}, "^base_proxy holds"),
        ({"models": [{"name": "a", "source": "nowhere:x"}]}, "nowhere:x"),
        ({"tls_days": 3650}, "smaller than mirror_ca_days"),
        ({"verify_days": -5}, "mirror_verify_days must be a whole number of days, 0 or more, but it is -5"),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    problems = mirror_problems(GOOD | change)
    assert any(re.search(words, problem) for problem in problems), problems
    assert "hunter2" not in " ".join(problems), "a sentence repeats a password"


TREE = ["blobs", "hf", "lock", "ollama", "refs", "stamps", "tmp", "www"]


@pytest.mark.parametrize("names", [[], ["lost+found"], TREE, [*TREE, "lost+found", "partial", "published"]])
def test_what_may_be_removed(names: list[str]) -> None:
    assert mirror_removal_problems("/data/mirror", names) == []
    assert set(mirror_removals(names)) == set(names) - {"lost+found"}


@pytest.mark.parametrize(
    ("root", "names", "words"),
    [
        ("/srv", TREE, "a folder of the system"),
        ("/data/../etc", [], "must be an absolute path"),
        ("/data", [*TREE, "photos"], "photos there is not of a mirror"),
        ("/data", [".git", "home"], r"\.git, home there are not of a mirror"),
        # Folders that another program, or this collection, calls by the same names.
        ("/data/ollama", ["blobs", "manifests"], "has no hf and no ollama and no www"),
        ("/data/site", ["www"], "is not a mirror's tree"),
        ("/data/store", ["blobs", "lock", "partial", "refs", "stamps", "tmp"], "is not a mirror's tree"),
    ],
)
def test_what_is_not_removed(root: str, names: list[str], words: str) -> None:
    assert re.search(words, " ".join(mirror_removal_problems(root, names)))


def test_what_a_tree_is_known_by_goes_last() -> None:
    assert mirror_removals(TREE) == ["lock", "refs", "stamps", "tmp", "blobs", "hf", "ollama", "www"]
