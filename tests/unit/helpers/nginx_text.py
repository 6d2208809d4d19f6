"""Reads a configuration of nginx as far as tests need it: which location answers a path, and with which headers of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[{};]|[^\s{};"\']+')


@dataclass
class Block:
    """A block: what stands before its brace, its directives as words, and the blocks in it."""

    words: list[str] = field(default_factory=list)
    directives: list[list[str]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def values(self, name: str) -> list[list[str]]:
        """Return the words behind each directive of a name."""
        return [words[1:] for words in self.directives if words[0] == name]


def read(text: str) -> Block:
    """Return the whole file as one block."""
    top = Block()
    open_blocks, words = [top], list[str]()
    for part in TOKEN.findall(re.sub(r"(?m)^\s*#.*$", "", text)):
        if part == "{":
            block = Block(words)
            open_blocks[-1].blocks.append(block)
            open_blocks.append(block)
        elif part == "}":
            open_blocks.pop()
        elif part == ";":
            open_blocks[-1].directives.append(words)
        else:
            words = [*words, part.strip("\"'")] if words else [part]
            continue
        words = []
    return top


def location_of(server: Block, path: str) -> list[Block]:
    """Return the blocks that answer a path (as nginx sees it, decoded), the server first."""
    inner = _inner(server, path)
    return [server, *(location_of(inner, path) if inner else [])]


def _inner(block: Block, path: str) -> Block | None:
    locations = [inner for inner in block.blocks if inner.words[0] == "location"]
    for inner in locations:
        if inner.words[1:] == ["=", path]:
            return inner
    for inner in locations:
        if inner.words[1] == "~" and re.search(inner.words[2].replace("(?<", "(?P<"), path):
            return inner
    prefixes = [inner for inner in locations if len(inner.words) == 2 and path.startswith(inner.words[1])]
    return max(prefixes, key=lambda inner: len(inner.words[1]), default=None)


def headers_of(blocks: list[Block]) -> dict[str, str]:
    """Return the headers that the innermost block adds, or inherits because it adds none."""
    for block in reversed(blocks):
        added = block.values("add_header")
        if added:
            return {words[0]: words[1] for words in added}
    return {}
