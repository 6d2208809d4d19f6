# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that signs the mirror's tree for apt, in a GnuPG folder of its own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.package_folders import run_tool

NEEDS = "gpg (Debian, Ubuntu) or gnupg2 (EL)"
OWNER = "onprem.llm mirror"
# What GnuPG tells of keys: the fingerprint of one, the first of its parts, and what it calls each part's secret half.
FINGERPRINT = re.compile(r"^fpr:+([0-9A-F]{40}):", re.MULTILINE)
GRIP = re.compile(r"^grp:+([0-9A-F]{40}):", re.MULTILINE)


class SigningKey:
    """A folder of GnuPG that holds one secret key without a passphrase, readable to root only."""

    def __init__(self, home: str) -> None:
        self.home = home

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        return run_tool(["gpg", "--homedir", self.home, "--batch", "--no-tty", "--quiet", *words], NEEDS, stdin=stdin)

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the key; empty where there is none."""
        if not Path(self.home).is_dir():
            return ""
        # Which secret keys there are could be asked of GnuPG's agent, but that one stays behind, and it may be signing for another run.
        listed = self._gpg("--with-colons", "--with-fingerprint", "--with-keygrip", "--list-keys").decode("utf-8", "replace")
        found = [fingerprint for fingerprint, grips in _keys(listed) if any(self._has_secret(grip) for grip in grips)]
        if len(found) > 1:
            raise ModelError(f"{self.home} has {len(found)} secret keys, but one was expected: remove those that shall not sign.")
        return found[0] if found else ""

    def _has_secret(self, grip: str) -> bool:
        """Tell whether the secret half is here of what GnuPG calls so: the agent keeps it in a file of that name."""
        return Path(self.home, "private-keys-v1.d", f"{grip}.key").is_file()

    def make(self, given: str) -> None:
        """Make a key, or take the one whose text is ``given``."""
        with explained(f"make {self.home}"):
            Path(self.home).mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(self.home).chmod(0o700)
        with self.awake():
            if given:
                self._gpg("--import", "-", stdin=given.encode())
            else:
                self._gpg("--passphrase", "", "--pinentry-mode", "loopback", "--quick-generate-key", OWNER, "rsa3072", "sign", "never")
        if not self.fingerprint:
            raise ModelError(
                f"{self.home} should hold a secret key now, but there is none: export the one to give with "
                f"'gpg --armor --export-secret-keys'."
            )

    def public(self) -> bytes:
        """Return the public key as text."""
        return self._gpg("--armor", "--export", self.fingerprint)

    def sign(self, path: Path) -> tuple[bytes, bytes]:
        """Return a file with its signature around it, and a signature alone."""
        with self.awake():
            common = ("--yes", "--digest-algo", "SHA256", "--local-user", self.fingerprint, "--output", "-")
            return self._gpg(*common, "--clear-sign", str(path)), self._gpg(*common, "--armor", "--detach-sign", str(path))

    def has_signed(self, path: Path, detached: Path | None = None) -> bool:
        """Tell whether the file carries a good signature of this key, or has one in a file of its own."""
        files = [str(path)] if detached is None else [str(detached), str(path)]
        try:
            said = self._gpg("--status-fd", "1", "--verify", *files).decode("utf-8", "replace")
        except ModelError:
            return False
        return any(line.startswith("[GNUPG:] VALIDSIG ") and line.rstrip().endswith(self.fingerprint) for line in said.splitlines())

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let no agent of GnuPG stay behind."""
        try:
            yield
        finally:
            with contextlib.suppress(ModelError):
                run_tool(["gpgconf", "--homedir", self.home, "--kill", "all"], NEEDS, env={"GNUPGHOME": os.fspath(self.home)})


def _keys(listed: str) -> list[tuple[str, list[str]]]:
    """Return each key of a list as GnuPG writes it."""
    blocks = re.split(r"^pub:", listed, flags=re.MULTILINE)[1:]
    return [(found.group(1), GRIP.findall(block)) for block in blocks if (found := FINGERPRINT.search(block))]
