"""Transactions that people send from wallets of their own: expected here, reported by hash, followed until final."""
