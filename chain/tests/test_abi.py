"""What Python deploys and calls is what a fresh compile of `contracts/` gives, and the numbers both sides share are the same."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from chain.types import Category, ChainRole, Restriction, Standing

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ROOT / "contracts" / "src" / "libraries"


def constants(path: Path, library: str) -> dict[str, int]:
    """The integer constants of one Solidity library."""
    body = re.search(rf"library {library} {{(.*?)^}}", path.read_text(), re.DOTALL | re.MULTILINE)
    assert body is not None, library
    return {name: int(value) for name, value in re.findall(r"uint\d+ internal constant (\w+) = (\d+);", body[1])}


def test_abis_are_those_of_a_fresh_compile() -> None:
    command = ["node", "contracts/script/export-abi.mjs", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_standings_have_the_contracts_numbers() -> None:
    assert constants(LIBRARIES / "Standing.sol", "Standing") == {s.name: s.value for s in Standing}


def test_categories_have_the_contracts_numbers() -> None:
    found = constants(LIBRARIES / "Standing.sol", "Category")
    assert found == {c.name: c.value for c in Category}


def test_restrictions_have_the_contracts_numbers() -> None:
    found = constants(LIBRARIES / "Restriction.sol", "Restriction")
    sender, receiver = found.pop("SENDER_STANDING"), found.pop("RECEIVER_STANDING")
    for restriction in Restriction:
        if restriction.name in found:
            assert found.pop(restriction.name) == restriction.value
        else:
            assert restriction.value - sender in set(Standing) or restriction.value - receiver in set(Standing)
    assert found == {}


def test_roles_have_the_contracts_numbers() -> None:
    assert constants(LIBRARIES.parent / "Roles.sol", "Roles") == {r.name: r.value for r in ChainRole}


@pytest.mark.parametrize("contract", ["AccessManager", "InvestorSBT", "SecurityToken", "CollateralVault"])
def test_each_contract_fits_what_a_chain_accepts(contract: str) -> None:
    artifact = json.loads((ROOT / "chain" / "abi" / f"{contract}.json").read_text())
    creation = (len(artifact["bytecode"]) - 2) // 2
    assert creation < 49_152  # EIP-3860
