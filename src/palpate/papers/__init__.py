"""Papers reproduced with palpate, each a plug-in of its own."""
