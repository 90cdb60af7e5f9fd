"""Test networks with known failures, and honest ones, on which the checks are tried."""
