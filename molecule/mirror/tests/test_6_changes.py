"""The mirror changes: it is planned, cut off, resumed, narrowed, emptied and taken away."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from conftest import ADDRESS, INPUTS, ROOT_OF_TREE, Client, Mirror, attempt, fill
from molecule_client import EPHEMERAL, changed

MODELS: list[dict[str, Any]] = INPUTS["all"]["llm_models"]
SECOND = {"name": "second", "source": "ollama:capital:2", "engine": "ollama"}
MANIFEST = f"https://{ADDRESS}/v2/library/capital/manifests/2"
ONLY_MODELS = ("--tags", "mirror_models,mirror_index")
ONLY_SITE = ("--tags", "mirror_configure,mirror_service")
STANDIN_LOG = "/srv/upstream/requests.log"
WEIGHTS = 98_000_000
ASK_MYSELF = """import ssl, urllib.request
trust = ssl.create_default_context(cafile="/etc/llm/mirror-tls/ca.crt")
print(urllib.request.urlopen("https://127.0.0.1:8443/v2/", context=trust).read().decode())"""


def status(client: Client, url: str = MANIFEST) -> str:
    """Return what the mirror answers."""
    return str(client.host.run(f"curl -s --max-time 5 -o /dev/null -w '%{{http_code}}' {url}").stdout)


def sent(mirror: Mirror) -> int:
    """Return the bytes that upstream has sent so far."""
    return sum(json.loads(line)["sent"] for line in mirror.host.check_output(f"cat {STANDIN_LOG}").splitlines())


def test_nginx_only_reads_the_tree(mirror: Mirror) -> None:
    inside = "nsenter --mount --target $(systemctl show nginx.service -p MainPID --value)"
    mirror.host.check_output(f"{inside} test -e {ROOT_OF_TREE}/www/index.html")
    written = mirror.host.run(f"{inside} touch {ROOT_OF_TREE}/www/index.html")
    assert written.rc != 0 and "Read-only file system" in written.stderr


def test_check_mode_tells_the_changes_of_the_site(client: Client, mirror: Mirror) -> None:
    told = fill("--check", "--diff", mirror_title="Another title", mirror_allow=["127.0.0.0/8"])
    assert changed(told) == 3 and "10.0.0.0/8" in told and "Another title" in told
    assert status(client) == "200"
    gone = fill("--check", mirror_state="absent")
    assert changed(gone) > 0 and status(client) == "200"


def test_the_plan_of_an_empty_mirror(mirror: Mirror) -> None:
    before = sent(mirror)
    said = fill("--check", mirror_root="/srv/other")
    told = " ".join(said.split())
    assert " capital:2: publish " in told and "wheels: publish" in told and "in all: " in told
    assert sent(mirror) - before < 1_000_000
    assert not mirror.host.file("/srv/other").exists
    told = fill(mirror_plan_only=True, mirror_root="/srv/other")
    assert "in all: " in " ".join(told.split()) and changed(told) == 0
    assert not mirror.host.file("/srv/other").exists


def test_what_no_list_names_any_more_is_withdrawn(client: Client, mirror: Mirror) -> None:
    assert status(client) == "200"
    fill(mirror_models=[*MODELS, {**SECOND, "state": "absent"}], mirror_apt=[], mirror_rpm=[])
    assert status(client) == "404"
    assert status(client, MANIFEST[:-1] + "1") == "200"
    # An empty, signed list: a client's "apt-get update" goes on to work.
    assert client.run("curl", "-s", f"https://{ADDRESS}/apt/dists/llm/main/binary-amd64/Packages") == ""
    assert mirror.lines("apt") == mirror.lines("rpm") == []
    # What the two models share stays, and so does the file that only the first has.
    assert len(mirror.host.check_output(f"find {ROOT_OF_TREE}/blobs/sha256 -size +90M -size -100M").splitlines()) == 1


def test_a_run_that_is_killed_publishes_nothing_and_the_next_goes_on(client: Client, mirror: Mirror) -> None:
    kill = "until [ $(du -sm {root}/partial | cut -f 1) -ge 40 ]; do sleep 0.2; done; pkill -KILL -x -f /usr/bin/python3"
    mirror.host.check_output(f"systemd-run --collect --unit=test-kill sh -c '{kill.format(root=ROOT_OF_TREE)}'")
    before = sent(mirror)
    cut = attempt(*ONLY_MODELS, mirror_models=[*MODELS, SECOND], mirror_rate_limit="20M")
    assert cut.returncode != 0, cut.stdout
    assert status(client) == "404"
    first = sent(mirror) - before
    fill(*ONLY_MODELS, mirror_models=[*MODELS, SECOND])
    assert status(client) == "200"
    again = sent(mirror) - before - WEIGHTS
    assert 40_000_000 < first < WEIGHTS
    # At most what was under way on each connection.
    assert again < 48_000_000


def test_a_branch_that_moved_upstream_is_told_then_followed(client: Client, mirror: Mirror) -> None:
    upstream = "/srv/upstream/ollama/library/capital"
    mirror.host.check_output(f"cp {upstream}/2 /root/capital-2 && cp {upstream}/1 {upstream}/2")
    told = fill("--check", *ONLY_MODELS)
    assert "moved upstream to" in " ".join(told.split()) and changed(told) == 0
    fill(*ONLY_MODELS, llm_update_models=True)
    both = [client.run("curl", "-s", MANIFEST), client.run("curl", "-s", MANIFEST[:-1] + "1")]
    mirror.host.check_output(f"cp /root/capital-2 {upstream}/2")
    assert both[0] == both[1]


def test_who_is_not_in_the_list_of_networks_is_refused(client: Client, mirror: Mirror) -> None:
    fill(*ONLY_SITE, mirror_allow=["127.0.0.0/8"])
    assert status(client) == status(client, f"https://{ADDRESS}/") == "403"
    assert mirror.host.check_output(f"python3 -c {shlex.quote(ASK_MYSELF)}") == "{}"


def test_who_has_no_certificate_is_refused_where_one_is_asked_for(client: Client) -> None:
    pair = ["-newkey", "rsa:2048", "-nodes", "-x509", "-days", "1", "-subj", "/CN=client", "-keyout", "client.key", "-out", "client.crt"]
    client.run("openssl", "req", *pair)
    authority = EPHEMERAL / "client-ca.pem"
    authority.write_text(client.run("cat", "client.crt"))
    # This puts the networks back too.
    fill(*ONLY_SITE, mirror_client_ca=str(authority))
    assert status(client) == "400"
    assert status(client, f"--cert /root/client.crt --key /root/client.key {MANIFEST}") == "200"


def test_removal_keeps_the_tree_unless_it_is_told_otherwise(client: Client, mirror: Mirror) -> None:
    fill(mirror_state="absent")
    assert status(client) == "000"
    assert mirror.host.file(f"{ROOT_OF_TREE}/blobs").is_directory
    before, start = sent(mirror), time.monotonic()
    fill()
    assert sent(mirror) - before < 1_000_000, f"after {time.monotonic() - start:.0f} s"
    assert status(client) == "200"
    fill(mirror_state="absent")
    checked = changed(fill("--check", mirror_state="absent", mirror_purge=True))
    assert mirror.host.file(f"{ROOT_OF_TREE}/blobs").is_directory
    assert changed(fill(mirror_state="absent", mirror_purge=True)) == checked > 0
    assert not mirror.host.file(ROOT_OF_TREE).exists
    assert changed(fill(mirror_state="absent", mirror_purge=True)) == 0


def test_what_is_no_mirror_is_not_removed(mirror: Mirror) -> None:
    before = mirror.host.check_output("find /srv/media /srv/upstream")
    for root, words in (("/srv", "a folder of the system"), ("/srv/media", "not of a mirror"), ("/srv/upstream", "not of a mirror")):
        refused = attempt(mirror_state="absent", mirror_purge=True, mirror_root=root)
        assert refused.returncode != 0 and words in " ".join(refused.stdout.split())
    assert mirror.host.check_output("find /srv/media /srv/upstream") == before
