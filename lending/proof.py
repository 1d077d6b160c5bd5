"""A Merkle-sum tree over collateral: every node commits to the satoshi and wei beneath it. Pure arithmetic, no database.

Format 1 (docs/decisions/032-collateral.md; `docs/verify_collateral.py` checks it with nothing but Python's own library):

    leaf = SHA-256(00 ‖ "musubi-collateral-1" ‖ salt (32) ‖ length of reference (2) ‖ reference ‖ sats (8) ‖ wei (16))
    node = SHA-256(01 ‖ left hash (32) ‖ left sats (8) ‖ left wei (16) ‖ right hash ‖ right sats ‖ right wei)
    commitment = SHA-256(02 ‖ number of leaves (8) ‖ root hash ‖ total sats ‖ total wei)

Numbers are big-endian and unsigned, so nothing negative can be written, and every sum is held below a bound, so none can run
over. A leaf can never be read as a node: their first bytes differ. The tree is laid out like OpenZeppelin's: node i has the
children 2i + 1 and 2i + 2, and leaf k is node 2n − 2 − k.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")
VERSION: Final = 1
#: More of either does not exist and never will: 21 million bitcoin; 2^96 wei is 79 thousand million ether.
MAX_SATS: Final = 21_000_000 * 10**8
MAX_WEI: Final = 2**96
_NODE_BYTES: Final = 32 + 8 + 16
_DOMAIN: Final = b"musubi-collateral-1"


class Impossible(ValueError):
    """A sum that cannot be: negative, or more than there is."""


@dataclass(frozen=True, slots=True)
class Node:
    """A hash and what lies beneath it."""

    hash: bytes
    sats: int
    wei: int

    def __post_init__(self) -> None:
        if not (0 <= self.sats <= MAX_SATS and 0 <= self.wei <= MAX_WEI and len(self.hash) == 32):
            raise Impossible(f"{self.sats} satoshi, {self.wei} wei")

    def packed(self) -> bytes:
        return self.hash + struct.pack(">Q", self.sats) + self.wei.to_bytes(16, "big")

    @classmethod
    def unpacked(cls, data: bytes) -> Node:
        return cls(data[:32], int.from_bytes(data[32:40], "big"), int.from_bytes(data[40:56], "big"))


@dataclass(frozen=True, slots=True)
class Step:
    """One sibling on the way up, and the side it stands on."""

    node: Node
    is_left: bool


def leaf(*, salt: bytes, reference: str, sats: int, wei: int) -> Node:
    """The leaf of one loan. Raises Impossible."""
    if len(salt) != 32:
        raise ValueError("a salt of 32 bytes is required")
    name = reference.encode()
    empty = Node(bytes(32), sats, wei)  # checks the bounds before anything is packed
    body = b"\x00" + _DOMAIN + salt + struct.pack(">H", len(name)) + name + empty.packed()[32:]
    return Node(hashlib.sha256(body).digest(), sats, wei)


def parent(left: Node, right: Node) -> Node:
    """The node above two others. Raises Impossible if their sums cannot be."""
    digest = hashlib.sha256(b"\x01" + left.packed() + right.packed()).digest()
    return Node(digest, left.sats + right.sats, left.wei + right.wei)


def commitment(*, count: int, root: Node) -> bytes:
    """What is published and sealed: one hash over the size of the tree, its root and the totals."""
    return hashlib.sha256(b"\x02" + struct.pack(">Q", count) + root.packed()).digest()


def build(leaves: Sequence[T], join: Callable[[T, T], T]) -> list[T]:
    """All nodes of the tree, root first, over `leaves` joined by `join`."""
    if not leaves:
        raise ValueError("a tree has leaves")
    nodes: list[T] = list(reversed(leaves))
    inner: list[T | None] = [None] * (len(leaves) - 1)
    tree: list[T] = [*inner, *nodes]  # type: ignore[list-item]  # filled below, from the last one up
    for number in range(len(leaves) - 2, -1, -1):
        tree[number] = join(tree[2 * number + 1], tree[2 * number + 2])
    return tree


def place(*, count: int, number: int) -> int:
    """Which node leaf `number` is, in a tree of `count` leaves."""
    if not 0 <= number < count:
        raise ValueError("no such leaf")
    return 2 * count - 2 - number


def path(tree: Mapping[int, Node] | Sequence[Node], at: int) -> list[Step]:
    """The siblings from node `at` up to the root."""
    steps: list[Step] = []
    while at > 0:
        sibling = at + 1 if at % 2 else at - 1
        steps.append(Step(tree[sibling], is_left=at % 2 == 0))
        at = (at - 1) // 2
    return steps


def climb(start: Node, steps: Sequence[Step]) -> Node:
    """The root that `start` and its siblings lead to. Raises Impossible on any sum that cannot be."""
    found = start
    for step in steps:
        found = parent(step.node, found) if step.is_left else parent(found, step.node)
    return found


def verify(*, start: Node, steps: Sequence[Step], count: int, expected: bytes) -> bool:
    """True if the leaf and its path lead to the published commitment of a tree of `count` leaves."""
    try:
        return commitment(count=count, root=climb(start, steps)) == expected
    except Impossible:
        return False


# --- a path without the whole tree --------------------------------------------------------------------------------


def cut(tree: Sequence[Node], *, beneath: int = 256) -> bytes:
    """The upper nodes, packed: enough that below each of the lowest of them lie about `beneath` leaves."""
    depth = max(0, (len(tree) // 2 // beneath).bit_length())
    kept = min(len(tree), 2 ** (depth + 1) - 1)
    return b"".join(node.packed() for node in tree[:kept])


def upper_nodes(kept: bytes) -> list[Node]:
    return [Node.unpacked(kept[at : at + _NODE_BYTES]) for at in range(0, len(kept), _NODE_BYTES)]


def leaves_beneath(*, count: int, number: int, kept: int) -> list[int]:
    """Numbers of the leaves under the lowest kept node above leaf `number`; empty if the leaf itself is kept."""
    top = place(count=count, number=number)
    if top < kept:
        return []
    while top >= kept:
        top = (top - 1) // 2
    found: list[int] = []
    first = last = top
    while first < 2 * count - 1:
        found += [2 * count - 2 - node for node in range(max(first, count - 1), min(last, 2 * count - 2) + 1)]
        first, last = 2 * first + 1, 2 * last + 2
    return sorted(found)


def path_from_cut(*, count: int, number: int, kept: bytes, leaves: Mapping[int, Node]) -> list[Step]:
    """The path of leaf `number`, from the kept upper nodes and the leaves that `leaves_beneath` names."""
    nodes: dict[int, Node] = dict(enumerate(upper_nodes(kept)))
    nodes |= {place(count=count, number=each): node for each, node in leaves.items()}

    def fill(at: int) -> Node:
        if at not in nodes:
            nodes[at] = parent(fill(2 * at + 1), fill(2 * at + 2))
        return nodes[at]

    at = place(count=count, number=number)
    while at > 0:
        fill(at + 1 if at % 2 else at - 1)
        at = (at - 1) // 2
    return path(nodes, place(count=count, number=number))
