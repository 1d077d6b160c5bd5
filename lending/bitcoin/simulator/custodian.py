"""A SIMULATED custodian: the one who holds the keys, with bdk as their wallet. Nothing of it runs in the portal.

The tests use the keys of the published BIP-84 vectors, from which everybody can spend. A demonstration makes keys of its
own and keeps them beside its chain. Regtest only, worth nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import bdkpython as bdk

MNEMONIC: Final = "abandon " * 11 + "about"
_WHAT: Final = "SIMULATED custodian of one demonstration: keys on regtest, made at its first start. Nothing real."


@dataclass(frozen=True)
class Custodian:
    """A custodian by their mnemonic."""

    mnemonic: str

    @property
    def account(self) -> tuple[str, str]:
        """The fingerprint of the master key and the account's public key, as the portal is set up with them."""
        path = bdk.DerivationPath("m/84'/1'/0'")
        found = re.fullmatch(r"\[([0-9a-f]{8})/[^\]]*\](\w+).*", str(self._secret().derive(path).as_public()))
        if found is None:
            raise ValueError("bdk describes keys differently than expected")
        return found.group(1), found.group(2)

    def sign(self, psbt: str) -> str:
        """The PSBT with signatures, as a hardware signer would hand it back."""
        outer, inner = (
            bdk.Descriptor.new_bip84(self._secret(), kind, bdk.NetworkKind.TEST)
            for kind in (bdk.KeychainKind.EXTERNAL, bdk.KeychainKind.INTERNAL)
        )
        wallet = bdk.Wallet(outer, inner, bdk.Network.REGTEST, bdk.Persister.new_in_memory())
        signed = bdk.Psbt(psbt)
        if not wallet.sign(signed):
            raise ValueError("this custodian has no key for it")
        return str(signed.serialize())

    def _secret(self) -> bdk.DescriptorSecretKey:
        return bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_string(self.mnemonic), None)


PUBLISHED: Final = Custodian(MNEMONIC)


def sign(psbt: str) -> str:
    """Signed with the published keys, as the tests need it."""
    return PUBLISHED.sign(psbt)


def kept_at(path: Path) -> Custodian:
    """The custodian of one installation: made at the first call, the same ever after. The file is its owner's alone.

    Written beside and renamed, so that an interrupted first start leaves nothing half done.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.chmod(0o600)
        draft.write_text(json.dumps({"what": _WHAT, "mnemonic": str(bdk.Mnemonic(bdk.WordCount.WORDS12))}))
        draft.replace(path)
    return Custodian(json.loads(path.read_text())["mnemonic"])
