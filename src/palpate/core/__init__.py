"""Words, records and files that every room shares: no torch here."""
