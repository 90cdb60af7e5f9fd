"""The `palpate` command: one file per command."""
