# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lacks of the base: packages, the group and the account of services. Read in one go, nothing is changed."""

from __future__ import annotations

import grp
import pwd
import subprocess
from collections.abc import Sequence

# dpkg-query(1): a package whose state is another one is not, or not wholly, installed.
DPKG_QUERY = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"]
# rpm(8): what a name stands for, a package, a file or something that packages provide.
RPM_QUERY = ["rpm", "--query", "--whatprovides", "--queryformat", "%{NAME}\n"]


def missing_packages(names: Sequence[str], manager: str) -> list[str]:
    """Return the ``names`` that are not known to be installed; ``manager`` is ``apt`` or ``dnf``.

    A name that is more than a name (a version, a pattern, a file to install) is among them: the package manager has to judge it.
    """
    if manager == "apt":
        return missing_of_dpkg(names, _said(DPKG_QUERY, names))
    return [name for name in names if not _is_provided(name)]


def missing_of_dpkg(names: Sequence[str], said: str) -> list[str]:
    """Return the ``names`` that ``said``, the output of DPKG_QUERY, does not call installed."""
    installed = {package for package, _space, state in (line.partition(" ") for line in said.splitlines()) if state == "installed"}
    return [name for name in names if name not in installed]


def _is_provided(name: str) -> bool:
    try:
        return subprocess.run([*RPM_QUERY, "--", name], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _said(command: Sequence[str], names: Sequence[str]) -> str:
    try:
        # It fails where one of them is unknown, and tells of the others all the same.
        return subprocess.run([*command, "--", *names], capture_output=True, text=True, errors="replace", check=False).stdout
    except OSError:
        return ""


def has_account(name: str, group: str, home: str, shell: str) -> bool:
    """Tell whether the account exists with this first group, home and shell."""
    try:
        entry = pwd.getpwnam(name)
        return (entry.pw_gid, entry.pw_dir, entry.pw_shell) == (grp.getgrnam(group).gr_gid, home, shell)
    except KeyError:
        return False
