"""Selling collateral: one interface, a paper back end and one over ccxt."""
