"""The base of the parts of a study: what a key of the first version is called now."""

from palpate.core.spec import Spec

FIRST_VERSION = {
    "method": 'attack = "standard" or attack = "foolbox-pgd"',
    "chest_filter": 'filter = NAME and filter_at = "before" or "after"',
    "chest_dtype": "filter = NAME",
}
"""How keys of the first version's studies are written now."""


class Part(Spec):
    """The base of the parts of a study: a key of the first version is told how it is written now."""

    @classmethod
    def unknown_key(cls, key: str) -> str:
        shares = 'epsilons as shares of the image range, such as "2/255", "0.01/255" or "0.00125/2"'
        now = shares if key.startswith("epsilon_") else FIRST_VERSION.get(key)
        return f"was dropped after version 0.1; write {now}" if now else super().unknown_key(key)
