"""The key that signs for apt: which one is found, and that no agent of GnuPG stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import signing_key
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.signing_key import SigningKey

FIRST, SECOND, THIRD, SUBKEY = (letter * 40 for letter in "ABCD")
GRIPS = {FIRST: "1" * 40, SECOND: "2" * 40, THIRD: "3" * 40, SUBKEY: "4" * 40}


class StandinGpg:
    """Lists keys as GnuPG does, and has an agent from the first question about a secret key until it is told to go."""

    def __init__(self, home: Path) -> None:
        self.home, self.agent, self.listed = home, False, ""
        (home / "private-keys-v1.d").mkdir(parents=True)

    def add(self, primary: str, *subkeys: str, secret: Sequence[str]) -> None:
        """Add a key; ``secret`` are those of its parts whose secret half is here."""
        for kind, fingerprint in (("pub", primary), *(("sub", each) for each in subkeys)):
            self.listed += f"{kind}:u:3072:1:{fingerprint[:16]}:1795958252:::u:::scSC::::::23::0:\n"
            self.listed += f"fpr:::::::::{fingerprint}:\ngrp:::::::::{GRIPS[fingerprint]}:\n"
        for fingerprint in secret:
            (self.home / "private-keys-v1.d" / f"{GRIPS[fingerprint]}.key").touch()

    def run(self, words: Sequence[str], _needs: str, **_options: object) -> bytes:
        """Stand in for ``run_tool``."""
        assert words[1:3] == ["--homedir", str(self.home)]
        if words[0] == "gpgconf":
            self.agent = False
        elif "--verify" in words:
            return f"[GNUPG:] VALIDSIG {FIRST} 2026-11-29 {FIRST}\n".encode()
        elif "--list-keys" in words:
            return f"tru::1:1795958254:0:3:1:5\n{self.listed}".encode()
        elif "--export" not in words:
            self.agent = True
        if "--import" in words or "--quick-generate-key" in words:
            self.add(FIRST, secret=[FIRST])
        return b"text"


@pytest.fixture
def gpg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandinGpg:
    gpg = StandinGpg(tmp_path / "home")
    monkeypatch.setattr(signing_key, "run_tool", gpg.run)
    return gpg


@pytest.mark.parametrize("given", ["", "text of a key"])
def test_no_agent_stays(gpg: StandinGpg, given: str) -> None:
    key = SigningKey(str(gpg.home))
    assert key.fingerprint == "" and not gpg.agent
    key.make(given)
    assert not gpg.agent
    assert key.fingerprint == FIRST and not gpg.agent
    assert key.public() == b"text" and not gpg.agent
    assert key.sign(gpg.home) == (b"text", b"text") and not gpg.agent
    assert key.has_signed(gpg.home) and not gpg.agent


def test_no_agent_is_asked_which_key_it_is(gpg: StandinGpg) -> None:
    gpg.add(FIRST, secret=[FIRST])
    gpg.agent = True
    assert SigningKey(str(gpg.home)).fingerprint == FIRST
    assert gpg.agent, "another run may just be signing with it"


def test_which_key_signs(gpg: StandinGpg) -> None:
    key = SigningKey(str(gpg.home))
    gpg.add(SECOND, secret=[])
    assert key.fingerprint == "", "of a public key alone"
    gpg.add(FIRST, SUBKEY, secret=[SUBKEY])
    assert key.fingerprint == FIRST, "the secret half of a subkey is enough"
    gpg.add(THIRD, secret=[THIRD])
    with pytest.raises(ModelError, match="has 2 secret keys, but one was expected"):
        assert key.fingerprint
