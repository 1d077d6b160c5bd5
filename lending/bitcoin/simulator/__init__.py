"""An Esplora SIMULATOR: a small chain of blocks on this machine behind the real HTTP API, for tests and the demo.

Transactions, blocks and their hashes have Bitcoin's own format; signatures and proof of work are not checked.
"""
