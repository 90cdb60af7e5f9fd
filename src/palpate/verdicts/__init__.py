"""Verdicts: what an attack's result may be trusted for, found by attacks of their own."""
