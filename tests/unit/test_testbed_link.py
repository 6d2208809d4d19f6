"""What the emulated link does to packets, without a network."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from tools.testbed.link import Shape, Way, gap
from tools.testbed.shell import TestbedError

PACKET = b"x" * 1000


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"loss": 1.0}, "less than 1"),
        ({"loss": -0.1}, "at least 0"),
        ({"rtt": -0.1}, "round trip time"),
        ({"rate": -1.0}, "the rate"),
        ({"queue": 0.0}, "queue"),
        ({"mtu": 100}, "between 576 and 65521"),
    ],
)
def test_what_no_link_can_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(TestbedError, match=words):
        Shape(**wrong)


@pytest.mark.parametrize(
    ("loss", "chance", "passing"), [(0.0, 0.5, sys.maxsize), (0.5, 1.0, 0), (0.5, 0.6, 0), (0.5, 0.3, 1), (0.5, 0.01, 6)]
)
def test_packets_until_the_next_loss(loss: float, chance: float, passing: int) -> None:
    assert gap(loss, chance) == passing


@pytest.mark.parametrize("loss", [0.0, 0.001, 0.1])
def test_losses_come_as_often_as_asked(loss: float) -> None:
    way, packets = Way(Shape(loss=loss), seed=7), 100_000
    for _packet in range(packets):
        way.take(PACKET, now=0.0)
    assert way.lost == pytest.approx(loss * packets, rel=0.3)
    assert len(way.waiting) == packets - way.lost


def test_the_same_seed_loses_the_same_packets() -> None:
    def survivors(seed: int) -> list[bytes]:
        way = Way(Shape(loss=0.3), seed)
        for number in range(100):
            way.take(bytes([number]), now=0.0)
        return [packet for _due, packet in way.waiting]

    assert survivors(1) == survivors(1) != survivors(2)


def test_half_the_round_trip_each_way() -> None:
    way = Way(Shape(rtt=0.08), seed=1)
    assert way.due() == math.inf
    way.take(PACKET, now=10.0)
    assert way.due() == pytest.approx(10.04)


def test_a_rate_spaces_packets_and_a_full_queue_drops() -> None:
    way = Way(Shape(rtt=0.0, rate=100_000, queue=0.025), seed=1)
    for _packet in range(10):
        way.take(PACKET, now=0.0)
    assert [due for due, _packet in way.waiting] == pytest.approx([0.01, 0.02, 0.03])
    assert way.lost == 7
    way.take(PACKET, now=5.0)
    assert way.waiting[-1][0] == pytest.approx(5.01)
