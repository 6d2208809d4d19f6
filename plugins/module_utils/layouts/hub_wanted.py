# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a repository are wanted, by patterns as ``hf download --include --exclude`` understands them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef


@dataclass(frozen=True)
class Wanted:
    """A choice of files; call it with a name."""

    # One file alone; empty for all.
    file: str = ""
    # A name must match one of these, if there are any, and none of those.
    allow: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __call__(self, name: str) -> bool:
        """Tell whether a file is wanted. ``*`` also matches ``/``, and a pattern that ends in ``/`` means all below that folder."""
        allowed = not self.allow or any(_matches(name, pattern) for pattern in self.allow)
        return self.file in {"", name} and allowed and not any(_matches(name, pattern) for pattern in self.ignore)

    @property
    def is_all(self) -> bool:
        """Tell whether every file is wanted."""
        return not (self.file or self.allow or self.ignore)

    def check(self, ref: HubRef, found: bool) -> None:
        """Refuse a choice that leaves nothing."""
        if not found and self.file:
            raise ModelError(
                f"The source '{ref}' names a file that is not wanted or not there: correct it, or look at the repository's page."
            )
        if not found:
            choice = "allow and ignore leave no file" if self.allow or self.ignore else "the repository has no file"
            raise ModelError(f"Nothing can be laid out of '{ref}', for {choice}: correct them, or look at the repository's page.")


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern + "*" if pattern.endswith("/") else pattern)
