"""A link with delay, loss and a rate, between two network namespaces; no kernel module is needed.

``with link.up(Shape(loss=0.001)) as ends:`` gives two ends. Programs enter one by ``ends.server.command(...)``, or from a shell:
``python3 -m tools.testbed.link --loss 0.001 --seconds 60`` prints the words to put before a command. Needs root.

Each namespace has a TUN device, and one relay process reads packets from either, drops some, and writes the others to the other side
when they are due. The namespaces have no names: the relay holds them, and the kernel removes them when it ends, whatever ended it.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import math
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

from .shell import ROOT, TestbedError, as_root, main_guard

MODULE = "tools.testbed.link"
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
SERVER, CLIENT = "10.99.0.1", "10.99.0.2"
DEVICE = "link0"
# Packets read from one side before the other one has its turn.
BATCH = 64
START_TIMEOUT_S = 10


@dataclass(frozen=True)
class Shape:
    """What the link does to packets; loss and rate hold for each direction."""

    loss: float = 0.0
    rtt: float = 0.05
    # Bytes per second; 0: as fast as this machine can.
    rate: float = 0.0
    mtu: int = 9000
    # Seconds that a packet may wait for its turn where there is a rate; a full queue drops.
    queue: float = 0.1
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what no link can be."""
        if not 0 <= self.loss < 1:
            raise TestbedError(f"The loss of a link must be at least 0 and less than 1, but it is {self.loss}.")
        if self.rtt < 0 or self.rate < 0 or self.queue <= 0:
            raise TestbedError("The round trip time and the rate of a link must not be negative, and its queue must be more than 0.")
        if not 576 <= self.mtu <= 65521:
            raise TestbedError(f"The MTU of a link must be between 576 and 65521, but it is {self.mtu}.")


def gap(loss: float, chance: float) -> int:
    """Return how many packets pass before one is lost, for a random number above 0 and up to 1: one draw for each loss, not each packet."""
    return sys.maxsize if loss == 0 else int(math.log(chance) / math.log1p(-loss))


class Way:
    """One direction: decides of each packet whether it passes, and when it is due."""

    def __init__(self, shape: Shape, seed: int) -> None:
        """Start with an empty line."""
        self._shape = shape
        self._random = random.Random(seed)  # noqa: S311  the same losses in each run are what is wanted
        self._delay = shape.rtt / 2
        self._free = 0.0
        self._left = self._next_gap()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.lost = 0

    def _next_gap(self) -> int:
        return gap(self._shape.loss, 1 - self._random.random())

    def take(self, packet: bytes, now: float) -> None:
        """Lose the packet, or put it in line."""
        if self._left == 0:
            self._left = self._next_gap()
            self.lost += 1
            return
        self._left -= 1
        if self._shape.rate:
            start = max(self._free, now)
            if start - now > self._shape.queue:
                self.lost += 1
                return
            self._free = now = start + len(packet) / self._shape.rate
        self.waiting.append((now + self._delay, packet))

    def due(self) -> float:
        """Return when the first packet in line is due; infinity if there is none."""
        return self.waiting[0][0] if self.waiting else math.inf


@dataclass(frozen=True)
class End:
    """One end of the link."""

    address: str
    namespace: str

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command line that runs ``words`` at this end."""
        return as_root("nsenter", f"--net={self.namespace}", "--", *words)


@dataclass(frozen=True)
class Ends:
    """Both ends of a link that is up."""

    server: End
    client: End


@contextmanager
def up(shape: Shape) -> Iterator[Ends]:
    """Start the link; remove it at the end, even after a failure."""
    words = [f"--{name}={value}" for name, value in vars(shape).items()]
    command = as_root(sys.executable, "-m", MODULE, *words, "--relay")
    relay = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stdin, stdout = cast(IO[str], relay.stdin), cast(IO[str], relay.stdout)
    try:
        ready, _write, _error = select.select([stdout], [], [], START_TIMEOUT_S)
        line = stdout.readline().split() if ready else []
        if len(line) != 2:
            raise TestbedError(
                "The emulated link did not start. Its relay needs root, /dev/net/tun and the right to make network namespaces; "
                "what it said stands above."
            )
        yield Ends(End(SERVER, line[0]), End(CLIENT, line[1]))
    finally:
        stdin.close()
        try:
            relay.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            relay.kill()
            relay.wait()


def relay(shape: Shape) -> None:
    """Make both ends, tell where they are, and pass packets until the other process goes away."""
    # A Ctrl-C is for the process that wants the link; this one ends after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sides = [_new_end(SERVER, CLIENT, shape.mtu), _new_end(CLIENT, SERVER, shape.mtu)]
    print(*(f"/proc/{os.getpid()}/fd/{namespace}" for namespace, _tun in sides), flush=True)
    one, two = (tun for _namespace, tun in sides)
    _pass_packets(one, two, Way(shape, shape.seed), Way(shape, shape.seed + 1), until=sys.stdin.fileno())


def _new_end(own: str, peer: str, mtu: int) -> tuple[int, int]:
    """Step into a new namespace and give it a TUN device; return descriptors of both."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise TestbedError(f"A network namespace could not be made: {os.strerror(ctypes.get_errno())}.")
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise TestbedError(f"/dev/net/tun could not be opened: {error.strerror}.") from error
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for words in (
        ("address", "add", own, "peer", peer, "dev", DEVICE),
        ("link", "set", "dev", DEVICE, "mtu", str(mtu), "txqueuelen", "10000", "up"),
        ("link", "set", "dev", "lo", "up"),
    ):
        subprocess.run(["ip", *words], check=True)
    return os.open("/proc/self/ns/net", os.O_RDONLY), tun


def _pass_packets(one: int, two: int, there: Way, back: Way, until: int) -> None:
    """Relay until ``until`` can be read: the process that wants the link has closed it."""
    ways = ((one, two, there), (two, one, back))
    ears = [one, two, until]
    clock, read, write = time.monotonic, os.read, os.write
    while True:
        wait = min(there.due(), back.due()) - clock()
        ready = select.select(ears, [], [], None if wait == math.inf else max(wait, 0))[0]
        if until in ready:
            return
        now = clock()
        for source, target, way in ways:
            if source in ready:
                take = way.take
                try:
                    for _turn in range(BATCH):
                        take(read(source, 65536), now)
                except BlockingIOError:
                    pass
            waiting = way.waiting
            while waiting and waiting[0][0] <= now:
                write(target, waiting.popleft()[1])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.testbed.link", description=__doc__)
    for name, value in vars(Shape()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default: {value}")
    parser.add_argument("--seconds", type=float, default=60, help="how long the link lasts (default: 60)")
    parser.add_argument("--relay", action="store_true", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    seconds, is_relay = options.pop("seconds"), options.pop("relay")
    shape = Shape(**options)
    if is_relay:
        relay(shape)
        return
    with up(shape) as ends:
        print(f"server {ends.server.address}: {' '.join(ends.server.command())}")
        print(f"client {ends.client.address}: {' '.join(ends.client.command())}", flush=True)
        time.sleep(seconds)


if __name__ == "__main__":
    main_guard(main)
