"""What goes wrong on the way of a whole pull: what docs/transfers.md says is seen and fetched again, and nothing wrong is laid out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import idle
from ansible_collections.onprem.llm.plugins.modules import ollama_model
from tests.standin_upstream import Upstream, add_ollama_model
from tests.unit.helpers.fault_page import Row, happens, row_of
from tests.unit.helpers.gguf_writer import gguf_bytes
from tests.unit.helpers.site import digest_of
from tests.unit.helpers.standin_endpoint import Authority
from tests.unit.helpers.whole_pull import TOTAL, WholePull

Call = Callable[..., dict[str, Any]]
# What is asked for to learn why a way leads nowhere, a byte each time, and the small file that was on its way when a pull ended.
CRUMBS = 32


# The big file comes from the second server; what happens later happens after two of its six pieces.
BIG = ",server=cdn"
LATER = f"{BIG},skip=2"
CASES: list[tuple[str, list[str]]] = [
    ("the list of files cannot be had for a while", ["status:code=503,path=/api/*,times=1"]),
    *(
        ("the list of files cannot be had", [f"{spec},path=/api/*"])
        for spec in ("status:code=503", "slow:rate=20", "loris:rate=20", "truncate:after=10", "stall:after=10,seconds=4")
    ),
    ("a connection drops now and then", [f"drop:after=1000000,times=2{BIG}"]),
    ("a connection drops every time", [f"drop:after=1000000{LATER}"]),
    ("an answer ends too early, now and then", [f"truncate:after=1000000,times=2{BIG}"]),
    ("an answer ends too early, every time", [f"truncate:after=1000000{LATER}"]),
    ("the server trickles", [f"slow:rate=500{LATER}"]),
    ("the server falls silent", [f"stall:after=1000,seconds=4{LATER}"]),
    ("the server falls silent", [f"delay:seconds=3{LATER}"]),
    ("the server falls silent", [f"loris:rate=20{LATER}"]),
    ("the server hangs up, or answers what is no HTTP, now and then", [f"hangup:times=1{LATER}"]),
    ("the server hangs up, or answers what is no HTTP, now and then", [f"garbage:times=1{LATER}"]),
    ("the server hangs up every time", [f"hangup:{BIG[1:]}"]),
    ("the server answers what is no HTTP, every time", [f"garbage:{BIG[1:]}"]),
    ("`Content-Length` is missing", [f"chunked:{BIG[1:]}"]),
    ("`Content-Length` is wrong now and then", [f"lie:by=-1000,times=1{BIG}"]),
    ("`Content-Length` is wrong now and then", [f"lie:by=1000,times=1{BIG}"]),
    ("`Content-Length` is wrong now and then", [f"extra:bytes=10,times=1{BIG}"]),
    ("`Content-Length` is wrong every time", [f"lie:by=1000{BIG}"]),
    *(
        ("the server has too much to do for a while (429, 500, 502, 503, 504)", [f"status:code={code},times=1{LATER}"])
        for code in (429, 500, 502, 503, 504)
    ),
    ("the server has too much to do every time", [f"status:code=503{LATER}"]),
    ("upstream is gone half way", [f"gone:{LATER[1:]}"]),
    ("the file is gone (404, 410)", [f"status:code=404{LATER}"]),
    ("the server refuses for another reason", [f"status:code=451{LATER}"]),
    ("access is denied (401, 403)", [f"status:code=403{LATER}"]),
    ("an unexpected redirect", ["redirect:to=cdn,server=main,path=*/config.json"]),
    ("a signed link expires half way", ["expire-links:requests=2"]),
    ("a signed link expires half way", ["expire-links:bytes=5000000"]),
    ("a byte is flipped on the wire, once", [f"flip:times=1{BIG}"]),
    ("a byte is flipped on the wire, every time", [f"flip:{BIG[1:]}"]),
    ("the file changes under the same name for a moment", [f"change:times=1{LATER}"]),
    ("the file changes under the same name for a moment", [f"change:times=1,by=5{LATER}"]),
    ("the file is another one of the same size", [f"change:{BIG[1:]}"]),
    ("the file is another one of the same size", [f"change:keep_etag=1{BIG}"]),
    ("the file is another one of another size", [f"change:by=7{LATER}"]),
    *(
        ("the ETag is missing, weak, or that of another file", [f"etag:mode={mode}{BIG}"])
        for mode in ("none", "weak", "wrong")
    ),
    ("the ETag is another one for a moment", [f"etag:times=1{LATER}"]),
    ("the ETag is another one every time, as of many servers behind one name", [f"etag:mode=changing{BIG}"]),
    ("the ETag is another one every time, as of many servers behind one name", [f"etag:mode=changing{LATER}"]),
    ("the file is another one at each request", [f"change:{LATER[1:]}", f"etag:mode=changing{LATER}"]),
    ("`Range` is ignored", [f"ignore-range:{BIG[1:]}"]),
    ("`Range` is ignored, and the connection drops", [f"ignore-range{LATER.replace(',', ':', 1)}"]),
    ("`Range` is ignored, and the connection drops", [f"ignore-range:{BIG[1:]}", f"truncate:after=20000000,times=1{BIG}"]),
    ("a part is refused (416), once", [f"status:code=416,times=1{LATER}"]),
    ("a part is refused (416), every time", [f"status:code=416{LATER}"]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "specs"), [pytest.param(row_of(fault), specs, id=f"{fault}: {specs}") for fault, specs in CASES])
def test_what_goes_wrong_on_the_way(pull: WholePull, row: Row, specs: list[str]) -> None:
    # What happens twice may happen to the same part, which then needs a third attempt.
    go_wrong(pull, row, specs, **({"retries": 2} if "times=2" in specs[0] else {}))


def go_wrong(pull: WholePull, row: Row, specs: list[str], **changes: Any) -> None:
    for spec in specs:
        pull.up.faults.add(spec)
    result = pull.run(**changes)
    assert row.is_told_by(result), result
    if "msg" in result:
        # No secret is told, and nothing wrong or locked is left.
        assert "Signature" not in result["msg"] and pull.up.options.hub_token not in result["msg"]
        for unfinished in pull.unfinished.parent.glob("*.data"):
            with idle(unfinished) as is_idle:
                assert is_idle
        assert "begun anew" not in result["msg"] or not pull.unfinished.exists()
        pull.up.faults.clear()
        if any(spec.startswith("gone") for spec in specs):
            pull.up.start()
        arrived = pull.noted
        checked = pull.run(check=True, **changes)
        again = pull.run(**changes)
        assert again["bytes_fetched"] == checked["bytes_fetched"] <= TOTAL - max(0, arrived - row.again)
    assert pull.sent - TOTAL <= row.allows() + CRUMBS


@happens("your token expires half way")
def test_a_token_of_the_hub(pull: WholePull, row: Row) -> None:
    go_wrong(pull, row, ["expire-links:requests=2", "expire-token:requests=6"], token=pull.up.options.hub_token)


@happens("the registry's token expires half way")
def test_a_token_of_the_registry(call_module: Call, tmp_path: Path, row: Row) -> None:
    digest = add_ollama_model(tmp_path / "up", "tiny:1b", gguf_bytes(), texts={"template": "{{ .Prompt }}", "system": "Be brief."})
    with Upstream(tmp_path / "up", registry_auth=True, blobs="plain") as up:
        up.faults.add("expire-token:requests=2")
        params = {"name": "tiny", "source": "ollama:tiny:1b", "endpoint": up.registry_url, "retries": 0}
        result = call_module(ollama_model, {**params, "store": str(tmp_path / "store"), "models_dir": str(tmp_path / "models")})
        assert row.is_told_by(result) and result["manifest_digest"] == f"sha256:{digest}"
        assert [seen.path for seen in up.requests].count("/token") >= 3
        sent = sum(seen.sent for seen in up.requests if "/blobs/" in seen.path and seen.status == 200)
    blobs = [path for path in (tmp_path / "models" / "blobs").iterdir() if digest_of(path.read_bytes()) == path.name[7:]]
    assert len(blobs) == 4 and sent == result["bytes_fetched"] == sum(path.stat().st_size for path in blobs) + row.again


@pytest.mark.parametrize(("first_day", "last_day"), [(1, 2), (-2, -1)])
@happens("the server's certificate is not valid yet, or no more")
def test_a_certificate_at_the_wrong_time(
    call_module: Call, pulled_site: Path, tmp_path: Path, row: Row, first_day: int, last_day: int
) -> None:
    authority = Authority.make(tmp_path, "private")
    authority.context(first_day=first_day, last_day=last_day)
    with Upstream(pulled_site, tls_cert=str(next(tmp_path.glob("server-*.pem")))) as up:
        pull = WholePull(call_module, up, tmp_path)
        result = pull.run(ca_path=str(authority.file))
        assert row.is_told_by(result) and pull.sent == row.again, result
