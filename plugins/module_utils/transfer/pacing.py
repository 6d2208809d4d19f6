# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast: a limit over all connections, a least speed for each, and how many of them pay off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import PassingError, pause

# A connection that brings less than this, seconds long, is no better than a dead one.
LEAST_SPEED = 1024
MOST_WORKERS = 16
# A server that takes longer than this for an exchange is far: each connection to it is slow by itself, so begin with more.
FAR_S = 0.005
NEAR_START, FAR_START = 2, 8
# More connections stay if they bring that much more; the last try is repeated after so long.
PAYS_OFF = 1.08
TRY_AGAIN_S = 15.0


class Limiter:
    """Lets so many bytes per second pass, all threads together."""

    # Seconds of the rate that may pass at once.
    BURST_S = 0.25

    def __init__(self, rate: int, stop: threading.Event) -> None:
        self.rate, self._stop = rate, stop
        self._lock = threading.Lock()
        self._due = time.monotonic()

    def largest(self, size: int) -> int:
        """Return how much to read at once, so that a slow rate comes evenly."""
        return min(size, max(4096, self.rate // 20)) if self.rate else size

    def passed(self, count: int) -> None:
        """Wait until so many bytes were due."""
        if not self.rate:
            return
        with self._lock:
            self._due = max(self._due, time.monotonic() - self.BURST_S) + count / self.rate
            wait = self._due - time.monotonic()
        if wait > 0:
            pause(wait, self._stop)


class Pulse:
    """Watches one answer: waiting for bytes counts, whatever this side does does not."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._waited, self._came = 0.0, 0

    def beats(self, read: Callable[[memoryview], int], view: memoryview) -> int:
        """Read, and return how many bytes came; raise ``PassingError`` where they were too few for too long."""
        started = time.monotonic()
        count = read(view)
        self._waited += time.monotonic() - started
        self._came += count
        if self._waited >= self._timeout:
            if self._came < LEAST_SPEED * self._waited:
                raise PassingError(f"only {self._came} bytes came in {self._waited:.0f} s")
            self._waited, self._came = 0.0, 0
        return count


class Tuner:
    """Finds out how many workers pay off: more, as long as they bring more."""

    def __init__(self, most: int) -> None:
        self.most = most or MOST_WORKERS
        self.wanted = 1
        self._round_trip = 0.0
        self._since, self._bytes = time.monotonic(), 0
        # The speed before the last step, and with how many workers.
        self._before: tuple[float, int] | None = None
        self._settled_until = 0.0
        self._skip = False

    def start(self, round_trip: float, received: int) -> None:
        """Begin, now that one server has been reached."""
        self._round_trip = round_trip
        self.wanted = min(self.most, FAR_START if round_trip > FAR_S else NEAR_START)
        self._open_window(received)
        self._skip = True

    def look(self, received: int, *, all_busy: bool) -> int:
        """Return how many workers there should be, after ``received`` bytes in all."""
        now = time.monotonic()
        if now - self._since < max(0.25, 5 * self._round_trip):
            return self.wanted
        speed = (received - self._bytes) / (now - self._since)
        self._open_window(received)
        if self._skip or not all_busy or now < self._settled_until:
            # What just began has not yet come up to speed.
            self._skip = False
            return self.wanted
        if self._before and speed < self._before[0] * PAYS_OFF:
            self.wanted, self._before = self._before[1], None
            self._settled_until = now + TRY_AGAIN_S
        elif self.wanted < self.most:
            self._before = (speed, self.wanted)
            self.wanted = min(self.most, self.wanted * 2)
            self._skip = True
        return self.wanted

    def _open_window(self, received: int) -> None:
        self._since, self._bytes = time.monotonic(), received
