"""Tokens and signed links, which expire after some requests or bytes where a fault says so."""

from __future__ import annotations

import secrets
import threading


class Tickets:
    """What was issued, and how much each was used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, list[int]] = {}
        # After how many requests and bytes a ticket is void; -1 for never.
        self.limit = (-1, -1)

    def issue(self, ticket: str = "") -> str:
        """Return a new one, or take one in."""
        ticket = ticket or secrets.token_urlsafe(24)
        with self._lock:
            self._used[ticket] = [0, 0]
        return ticket

    def was_issued(self, ticket: str) -> bool:
        """Tell whether it is one of ours."""
        with self._lock:
            return ticket in self._used

    def is_valid(self, ticket: str) -> bool:
        """Tell whether it still counts."""
        with self._lock:
            used = self._used.get(ticket, [0, 0])
            return all(most < 0 or count < most for count, most in zip(used, self.limit, strict=True))

    def use(self, ticket: str, requests: int = 1, sent: int = 0) -> None:
        """Count what it was used for, if it is one of ours."""
        with self._lock:
            used = self._used.get(ticket)
            if used:
                used[0] += requests
                used[1] += sent
