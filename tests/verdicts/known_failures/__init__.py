"""Planted failures and honest models, on which the verdicts are tried."""
