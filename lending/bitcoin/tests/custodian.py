"""The custodian of these tests: the one who holds the keys, with bdk as their wallet. Nothing of it runs in the portal."""

from __future__ import annotations

import bdkpython as bdk

MNEMONIC = "abandon " * 11 + "about"  # of the published BIP-84 vectors


def sign(psbt: str) -> str:
    """The PSBT with signatures, as a hardware signer would hand it back."""
    secret = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_string(MNEMONIC), None)
    descriptors = [
        bdk.Descriptor.new_bip84(secret, kind, bdk.NetworkKind.TEST)
        for kind in (bdk.KeychainKind.EXTERNAL, bdk.KeychainKind.INTERNAL)
    ]
    wallet = bdk.Wallet(*descriptors, bdk.Network.REGTEST, bdk.Persister.new_in_memory())
    signed = bdk.Psbt(psbt)
    assert wallet.sign(signed)
    return signed.serialize()
