"""Attacks: pure functions of tensors, one epsilon per image."""
