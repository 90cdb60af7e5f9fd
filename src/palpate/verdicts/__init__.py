"""Verdicts: what an attack's result may be believed for, found by attacks of their own."""
