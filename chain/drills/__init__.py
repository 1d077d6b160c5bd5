"""Theft drills: a thief with a stolen key against the platform's own services, on a node that is thrown away (CONTRACTS)."""
