# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of which file is asked for next. The queue calls this under its lock."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import (
    LEAST_HALF,
    NEW,
    OPENING,
    RANGES,
    READY,
    STREAM,
    WORTH_S,
    Download,
    Flight,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece

# So many finished files may wait for the store, each of which is kept open.
MOST_ARRIVED = 100
# So many are worth a step into the store before the last one has arrived.
MANY_ARRIVED = 50


def fresh(downloads: Sequence[Download], arrived: int) -> Flight | Download | None:
    """Return a part that nobody has, or a file that is to be opened first, marked as being opened; ``arrived`` files wait for the store."""
    for download in downloads:
        if download.state == NEW and arrived < MOST_ARRIVED:
            download.state = OPENING
            return download
        if download.state == READY and download.gaps:
            download.state = RANGES if download.single else OPENING
            return download.cut()
        if download.gaps and (download.state == RANGES or (download.state == STREAM and not download.flights)):
            return download.cut()
    return None


def half(downloads: Sequence[Download]) -> Flight | None:
    """Return the second half of what the slowest worker still has to bring, where that pays off; that worker brings the first."""
    flights = [flight for download in downloads if download.state == RANGES and not download.single for flight in download.flights]
    longest = max(flights, key=lambda flight: flight.seconds_left, default=None)
    if longest is None or longest.left < 2 * LEAST_HALF or longest.seconds_left < WORTH_S:
        return None
    middle, end = longest.claimed + longest.left // 2, longest.end
    longest.end = middle
    return longest.download.add_flight(middle, end)


def gaps_between(pieces: dict[int, Piece], size: int) -> list[tuple[int, int]]:
    """Return what is missing between pieces."""
    gaps, end = [], 0
    for _offset, piece in sorted(pieces.items()):
        if piece.offset > end:
            gaps.append((end, piece.offset))
        end = piece.end
    return [*gaps, (end, size)] if end < size else gaps
