"""The site of a mirror as it is written: which answers may be kept, and why something is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.unit.helpers.nginx_text import Block, headers_of, location_of, read

ROLE = Path(__file__).parents[2] / "roles" / "mirror"
COMMIT, DIGEST = "a" * 40, "b" * 64
MISSING = "@llm_mirror_missing"


def site(**changes: Any) -> Block:
    """Render the template with stand-ins for what Ansible adds; return its server."""
    standin = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701  no HTML
    standin.filters["comment"] = lambda text: f"# {text}"
    values = {
        **yaml.safe_load((ROLE / "defaults/main.yml").read_text()),
        "ansible_managed": "Ansible managed",
        "mirror_port": 8443,
        "__mirror_tls": True,
        "__mirror_tls_pair": {"certificate": "/c", "key": "/k"},
        "__mirror_port_suffix": ":8443",
    }
    text = standin.from_string((ROLE / "templates/etc/nginx/conf.d/llm-mirror.conf.j2").read_text()).render({**values, **changes})
    return next(block for block in read(text).blocks if block.words == ["server"])


SERVER = site()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/hf/api/models/org/name",
        "/hf/api/models/org/name/revision/main",
        "/hf/api/models/org/name/tree/main/folder",
        "/hf/nothing",
        "/v2/library/tiny/manifests/latest",
        "/simple/",
        "/simple/demo/",
        "/artefacts/ollama/0.34.4/SHA256SUMS",
        "/apt/dists/llm/InRelease",
        "/rpm/el9/repodata/repomd.xml",
    ],
)
def test_what_may_change_is_asked_for_again(path: str) -> None:
    assert headers_of(location_of(SERVER, path))["Cache-Control"] == "no-cache"


def test_a_branch_is_asked_for_again_and_a_commit_is_not() -> None:
    branch = location_of(SERVER, "/hf/org/name/resolve/main/config.json")[-1]
    names = [words[0] for words in branch.directives]
    assert ["$mir_cache", "no-cache"] in branch.values("set") and names.index("set") < names.index("rewrite")
    assert SERVER.values("set") == [["$mir_cache", ""]]
    commit = headers_of(location_of(SERVER, f"/hf/org/name/resolve/{COMMIT}/config.json"))
    # nginx sends no header that is empty.
    assert commit["Cache-Control"] == "$mir_cache" and commit["X-Repo-Commit"] == "$mir_rev"


def test_what_a_digest_names_may_be_kept() -> None:
    assert "immutable" in headers_of(location_of(SERVER, f"/files/bb/{DIGEST}/demo-1-py3-none-any.whl"))["Cache-Control"]
    assert "Cache-Control" not in headers_of(location_of(SERVER, f"/v2/library/tiny/blobs/sha256:{DIGEST}"))


@pytest.mark.parametrize(
    ("path", "repo", "revision"),
    [
        (f"/hf/org/name/resolve/{COMMIT}/config.json", "org/name", COMMIT),
        ("/hf/org/name/resolve/main/config.json", "org/name", "main"),
        ("/hf/api/models/org/name/revision/main", "org/name", "main"),
        ("/hf/api/datasets/org/name/tree/main/folder", "datasets/org/name", "main"),
        # As nginx sees refs%2Fpr%2F1.
        ("/hf/org/name/resolve/refs/pr/1/config.json", "org/name", "refs"),
        ("/hf/api/models/org/name/tree/refs/pr/1", "org/name", "refs"),
        ("/hf/api/models/org/name/revision/refs/pr/1", "org/name", "refs/pr/1"),
        ("/hf/api/spaces/org/name/revision/refs/pr/1", "spaces/org/name", "refs/pr/1"),
        ("/hf/name/resolve/-odd/config.json", "name", "-odd/config.json"),
    ],
)
def test_where_it_is_asked_why_something_is_not_there(path: str, repo: str, revision: str) -> None:
    block = location_of(SERVER, path)[-1]
    found = re.search(block.words[2].replace("(?<", "(?P<"), path)
    assert found and (found["mir_repo"], found["mir_rev"]) == (repo, revision)
    assert block.values("error_page") == [["404", "=", MISSING]]


def test_a_repository_and_a_revision_are_looked_for_before_a_file_is_said_to_be_missing() -> None:
    block = next(inner for inner in SERVER.blocks if inner.words == ["location", MISSING])
    headers = headers_of([SERVER, block])
    assert headers["X-Error-Code"] == "$mir_missing" and headers["Cache-Control"] == "no-cache"
    # The last that holds counts: each is set where the one before is set too.
    folder = "/srv/llm-mirror/hf/$mir_repo/resolve"
    assert block.values("set") == [["$mir_missing", "EntryNotFound"]]
    assert [(inner.words, inner.values("set")) for inner in block.blocks] == [
        (["if", "(!-e", f"{folder}/$mir_rev)"], [["$mir_missing", "RevisionNotFound"]]),
        (["if", "(!-d", f"{folder})"], [["$mir_missing", "RepoNotFound"]]),
    ]
