#!/usr/bin/env python3
# ruff: noqa: T201
"""Check that your collateral is counted in a published proof of collateral. Needs Python 3.8 and nothing else.

    python3 verify_collateral.py my-proof.json 4f1c…   # the commitment, copied from the public page

`my-proof.json` is the file from your loan's page. The commitment must come from somewhere else than that file: the public
page, a newspaper, another borrower. Ends with status 0 and the totals if everything holds, 1 if not.

What is checked: your loan's number and amounts make the leaf; the leaf and its neighbours make the root; no amount on the way
is negative or impossibly large; count, root and totals make the commitment. What you still have to look at yourself: that the
amounts are yours, and that the totals stand on the chains (the page names the vault and the addresses).
"""

import hashlib
import json
import sys
from pathlib import Path

MAX_SATS = 21_000_000 * 10**8
MAX_WEI = 2**96


def number(value, bytes_wide, most):
    value = int(value)
    if not 0 <= value <= most:
        raise ValueError(f"an amount that cannot be: {value}")
    return value.to_bytes(bytes_wide, "big")


def packed(node):
    digest = bytes.fromhex(node["hash"])
    if len(digest) != 32:
        raise ValueError("a hash of the wrong length")
    return digest + number(node["sats"], 8, MAX_SATS) + number(node["wei"], 16, MAX_WEI)


def above(left, right):
    return {
        "hash": hashlib.sha256(b"\x01" + packed(left) + packed(right)).hexdigest(),
        "sats": int(left["sats"]) + int(right["sats"]),
        "wei": int(left["wei"]) + int(right["wei"]),
    }


def leaf(own):
    salt, name = bytes.fromhex(own["salt"]), own["reference"].encode()
    if len(salt) != 32:
        raise ValueError("a salt of the wrong length")
    amounts = number(own["sats"], 8, MAX_SATS) + number(own["wei"], 16, MAX_WEI)
    body = b"\x00musubi-collateral-1" + salt + len(name).to_bytes(2, "big") + name + amounts
    return {"hash": hashlib.sha256(body).hexdigest(), "sats": own["sats"], "wei": own["wei"]}


def check(proof, commitment):
    if proof["version"] != 1:
        raise ValueError("this program reads version 1")
    node = leaf(proof["leaf"])
    for step in proof["path"]:
        node = above(step, node) if step["side"] == "left" else above(node, step)
    count = int(proof["count"])
    found = hashlib.sha256(b"\x02" + count.to_bytes(8, "big") + packed(node)).hexdigest()
    if found != commitment.lower():
        raise ValueError(f"this leads to another commitment: {found}")
    return node


def main(arguments):
    if len(arguments) != 2:
        print(__doc__)
        return 2
    try:
        total = check(json.loads(Path(arguments[0]).read_text(encoding="utf-8")), arguments[1].strip())
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        print(f"NOT PROVEN: {error}")
        return 1
    print(f"PROVEN: your collateral is part of {total['sats']} satoshi and {total['wei']} wei.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
