"""Bitcoin as the loan desk meets it: addresses from an account key, the Esplora API, unsigned transactions.

No private key is ever here: the account key is public, and what is to be spent leaves as a PSBT for the custodian.
"""
