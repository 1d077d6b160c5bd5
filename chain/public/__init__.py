"""What anybody may read of the chain without signing in: figures, who may do what, whose code stands where, and checks.

Nothing here is about a person. What is shown of an address or a transaction is on the chain for all to see, and the
reference by which the contracts know that two addresses are one person's is never shown (docs/decisions/038).
"""
