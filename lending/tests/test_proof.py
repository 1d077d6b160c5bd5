"""The Merkle-sum tree: what it proves, that tampering shows, and that others build the same tree."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from lending import proof
from lending.proof import MAX_SATS, MAX_WEI, Impossible, Node, Step

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "docs" / "verify_collateral.py"

amounts = st.tuples(st.integers(0, 10**12), st.integers(0, 10**24))
books = st.lists(amounts, min_size=1, max_size=40)


def leaves_of(book: list[tuple[int, int]]) -> list[Node]:
    return [
        proof.leaf(salt=number.to_bytes(32, "big"), reference=f"L-{number:06d}", sats=sats, wei=wei)
        for number, (sats, wei) in enumerate(book)
    ]


@given(books)
@bounded(max_examples=60, deadline=None)
def test_every_leaf_is_proven_and_the_root_carries_the_totals(book: list[tuple[int, int]]) -> None:
    leaves = leaves_of(book)
    tree = proof.build(leaves, proof.parent)
    assert (tree[0].sats, tree[0].wei) == (sum(s for s, _w in book), sum(w for _s, w in book))
    expected = proof.commitment(count=len(leaves), root=tree[0])
    for number, start in enumerate(leaves):
        steps = proof.path(tree, proof.place(count=len(leaves), number=number))
        assert proof.verify(start=start, steps=steps, count=len(leaves), expected=expected)


@given(book=st.lists(amounts, min_size=2, max_size=40), data=st.data())
@bounded(max_examples=200, deadline=None)
def test_tampering_with_any_leaf_sum_hash_side_or_length_fails(book: list[tuple[int, int]], data: Any) -> None:
    leaves = leaves_of(book)
    tree = proof.build(leaves, proof.parent)
    expected = proof.commitment(count=len(leaves), root=tree[0])
    number = data.draw(st.integers(0, len(leaves) - 1))
    steps = proof.path(tree, proof.place(count=len(leaves), number=number))
    start, count = leaves[number], len(leaves)
    at = data.draw(st.integers(0, len(steps) - 1))
    kind = data.draw(st.sampled_from(["leaf", "sats", "wei", "hash", "side", "shorter", "longer", "count", "moved"]))
    step = steps[at]
    changed = list(steps)
    if kind == "leaf":
        start = replace(start, sats=start.sats + data.draw(st.integers(1, 10**6)))
    elif kind in ("sats", "wei"):
        changed[at] = Step(replace(step.node, **{kind: getattr(step.node, kind) + 1}), step.is_left)
    elif kind == "hash":
        changed[at] = Step(replace(step.node, hash=bytes([step.node.hash[0] ^ 1]) + step.node.hash[1:]), step.is_left)
    elif kind == "side":
        changed[at] = Step(step.node, not step.is_left)
    elif kind == "shorter":
        del changed[at]
    elif kind == "longer":
        changed.append(step)
    elif kind == "count":
        count += 1
    elif step.node.sats:
        # What a cheat would want: move coins from a neighbour to nobody, keeping the total.
        changed[at] = Step(replace(step.node, sats=step.node.sats - 1), step.is_left)
        start = replace(start, sats=start.sats + 1)
    else:
        return
    assert not proof.verify(start=start, steps=changed, count=count, expected=expected)


@given(book=st.lists(amounts, min_size=1, max_size=700), beneath=st.integers(1, 64))
@bounded(max_examples=60, deadline=None)
def test_a_path_made_from_the_upper_nodes_and_a_few_leaves_is_the_same(
    book: list[tuple[int, int]], beneath: int
) -> None:
    leaves = leaves_of(book)
    tree = proof.build(leaves, proof.parent)
    kept = proof.cut(tree, beneath=beneath)
    for number in {0, len(leaves) // 2, len(leaves) - 1}:
        wanted = proof.leaves_beneath(count=len(leaves), number=number, kept=len(kept) // 56)
        assert len(wanted) <= 4 * beneath
        found = proof.path_from_cut(
            count=len(leaves), number=number, kept=kept, leaves={each: leaves[each] for each in wanted}
        )
        assert found == proof.path(tree, proof.place(count=len(leaves), number=number))


@pytest.mark.parametrize(("sats", "wei"), [(-1, 0), (0, -1), (MAX_SATS + 1, 0), (0, MAX_WEI + 1), (2**64, 0)])
def test_no_leaf_is_negative_or_larger_than_all_there_is(sats: int, wei: int) -> None:
    with pytest.raises(Impossible):
        proof.leaf(salt=bytes(32), reference="L", sats=sats, wei=wei)


def test_no_sum_runs_over() -> None:
    most = proof.leaf(salt=bytes(32), reference="L", sats=MAX_SATS, wei=0)
    with pytest.raises(Impossible):
        proof.parent(most, proof.leaf(salt=bytes(32), reference="M", sats=1, wei=0))
    assert not proof.verify(start=most, steps=[Step(most, is_left=True)], count=2, expected=bytes(32))


def test_a_node_is_never_a_leaf() -> None:
    one, other = leaves_of([(1, 2), (3, 4)])
    joined = proof.parent(one, other)
    forged = one.packed() + other.packed()
    assert all(
        proof.leaf(salt=forged[:32], reference=forged[32:].hex(), sats=joined.sats, wei=joined.wei).hash != joined.hash
        for _once in (1,)
    )


def test_another_salt_is_another_leaf() -> None:
    same: dict[str, Any] = {"reference": "L-1", "sats": 5, "wei": 6}
    assert proof.leaf(salt=bytes(32), **same).hash != proof.leaf(salt=b"\x01" * 32, **same).hash


@given(count=st.integers(1, 40))
@bounded(max_examples=8, deadline=None)
def test_openzeppelins_library_builds_the_same_trees(count: int) -> None:
    """The plain tree with their own hash, and ours with the sums carried beside theirs."""
    leaves = leaves_of([(number, number * 10**18) for number in range(count)])

    def plain(left: bytes, right: bytes) -> bytes:
        return bytes(keccak(min(left, right) + max(left, right)))

    found = json.loads(
        subprocess.run(
            ["node", "--input-type=commonjs", "-e", _OPENZEPPELIN],
            input=json.dumps([[node.hash.hex(), node.sats, str(node.wei)] for node in leaves]),
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    )
    assert found["plain"] == ["0x" + node.hex() for node in proof.build([leaf.hash for leaf in leaves], plain)]
    assert found["sums"] == ["0x" + node.hash.hex() for node in proof.build(leaves, proof.parent)]


_OPENZEPPELIN = """
const { SimpleMerkleTree } = require("@openzeppelin/merkle-tree");
const { createHash } = require("node:crypto");
const leaves = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const values = leaves.map(([hash]) => "0x" + hash);
const sums = new Map(leaves.map(([hash, sats, wei]) => ["0x" + hash, [BigInt(sats), BigInt(wei)]]));
const hex = (number, bytes) => number.toString(16).padStart(bytes * 2, "0");
const packed = (hash) => hash.slice(2) + hex(sums.get(hash)[0], 8) + hex(sums.get(hash)[1], 16);
const text = (node) => (typeof node === "string" ? node : "0x" + Buffer.from(node).toString("hex"));
const nodeHash = (a, b) => {
  const [left, right] = [text(a), text(b)];
  const digest = "0x" + createHash("sha256").update(Buffer.from("01" + packed(left) + packed(right), "hex")).digest("hex");
  sums.set(digest, [sums.get(left)[0] + sums.get(right)[0], sums.get(left)[1] + sums.get(right)[1]]);
  return digest;
};
const plain = SimpleMerkleTree.of(values, { sortLeaves: false }).dump().tree;
const summed = SimpleMerkleTree.of(values, { sortLeaves: false, nodeHash }).dump().tree;
console.log(JSON.stringify({ plain, sums: summed }));
"""


@given(
    book=st.lists(amounts, min_size=1, max_size=9),
    number=st.integers(0, 8),
    spoil=st.sampled_from(["", "sats", "path"]),
)
@bounded(max_examples=12, deadline=None)
def test_the_borrowers_own_program_agrees(book: list[tuple[int, int]], number: int, spoil: str) -> None:
    number %= len(book)
    leaves = leaves_of(book)
    tree = proof.build(leaves, proof.parent)
    steps = proof.path(tree, proof.place(count=len(leaves), number=number))
    file: dict[str, Any] = {
        "version": 1,
        "count": len(leaves),
        "leaf": {
            "salt": number.to_bytes(32, "big").hex(),
            "reference": f"L-{number:06d}",
            "sats": book[number][0],
            "wei": str(book[number][1]),
        },
        "path": [
            {
                "side": "left" if step.is_left else "right",
                "hash": step.node.hash.hex(),
                "sats": step.node.sats,
                "wei": str(step.node.wei),
            }
            for step in steps
        ],
    }
    if spoil == "sats":
        file["leaf"]["sats"] += 1
    elif spoil == "path" and file["path"]:
        file["path"][0]["wei"] = "-1"
    spoiled = spoil == "sats" or (spoil == "path" and bool(file["path"]))
    own = ROOT / ".run" / "own-proof.json"
    own.parent.mkdir(exist_ok=True)
    own.write_text(json.dumps(file))
    expected = proof.commitment(count=len(leaves), root=tree[0]).hex()
    ran = subprocess.run([sys.executable, str(SCRIPT), str(own), expected], capture_output=True, text=True, check=False)
    assert ran.returncode == (1 if spoiled else 0), ran.stdout
