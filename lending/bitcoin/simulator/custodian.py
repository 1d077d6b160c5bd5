"""A SIMULATED custodian: the one who holds the keys, with bdk as their wallet. Nothing of it runs in the portal.

Its keys are those of the published BIP-84 vectors: everybody can spend from them. Regtest only.
"""

from __future__ import annotations

import bdkpython as bdk

MNEMONIC = "abandon " * 11 + "about"
FINGERPRINT = "73c5da0a"
ACCOUNT_XPUB = (
    "tpubDC8msFGeGuwnKG9Upg7DM2b4DaRqg3CUZa5g8v2SRQ6K4NSkxUgd7HsL2XVWbVm39yBA4LAxysQAm397zwQSQoQgewGiYZqrA9DsP4zbQ1M"
)


def sign(psbt: str) -> str:
    """The PSBT with signatures, as a hardware signer would hand it back."""
    secret = bdk.DescriptorSecretKey(bdk.NetworkKind.TEST, bdk.Mnemonic.from_string(MNEMONIC), None)
    deposits, change = (
        bdk.Descriptor.new_bip84(secret, kind, bdk.NetworkKind.TEST)
        for kind in (bdk.KeychainKind.EXTERNAL, bdk.KeychainKind.INTERNAL)
    )
    wallet = bdk.Wallet(deposits, change, bdk.Network.REGTEST, bdk.Persister.new_in_memory())
    signed = bdk.Psbt(psbt)
    if not wallet.sign(signed):
        raise ValueError("this custodian has no key for it")
    return signed.serialize()
