# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on the way and may go right next time, and how long to wait until then."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

# Waiting after a failure grows from here, doubled each time, up to the most.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
# A server that wants more patience than this is not waited for.
LONGEST_RETRY_AFTER_S = 120.0
AGAIN_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


class PassingError(Exception):
    """A failure that another attempt may mend. Its text completes '..., but'."""

    def __init__(self, found: str, retry_after: float | None = None) -> None:
        super().__init__(found)
        # Seconds that the server asked for.
        self.retry_after = retry_after


def wait_before(attempt: int, retry_after: float | None = None) -> float:
    """Return the seconds to wait before attempt 1, 2, ...: any part of a growing span, so that many do not come back at once."""
    span: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (attempt - 1))
    chance = random.SystemRandom().random()
    if retry_after is not None:
        return min(retry_after, LONGEST_RETRY_AFTER_S) + chance * FIRST_WAIT_S
    return chance * span


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header; a date counts from the server's own clock, for ours may be wrong."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds())
    except (TypeError, ValueError, IndexError):
        return None


def pause(seconds: float, stop: threading.Event | None = None) -> None:
    """Wait, but not longer than until ``stop`` is set."""
    if stop:
        stop.wait(seconds)
    else:
        time.sleep(seconds)
