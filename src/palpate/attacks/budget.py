"""Passes spent, and how many may be."""


class BudgetExceeded(Exception):
    """Fewer passes are left than are needed; the message says so as the end of a sentence."""


class PassBudget:
    """Passes spent, forward and backward apart, and how many of both together may be; one budget may serve several models.

    Args:
        limit: passes, one per image; None for no limit.

    >>> budget = PassBudget(10)
    >>> budget.spend(6, 2)
    >>> budget.left
    2
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.forward, self.backward = limit, 0, 0

    @property
    def left(self) -> float:
        """Passes that may still be spent; infinity without a limit."""
        return float("inf") if self.limit is None else self.limit - self.forward - self.backward

    def need(self, passes: int) -> None:
        """Stop a check before it starts what it could not finish.

        Raises:
            BudgetExceeded: fewer passes are left.
        """
        if passes > self.left:
            raise BudgetExceeded(
                f"it needs up to {passes} passes and {self.left} of {self.limit} are left; raise budget"
            )

    def spend(self, forward: int, backward: int = 0) -> None:
        """Count passes, one per image.

        Raises:
            BudgetExceeded: they would exceed the budget; nothing is counted.
        """
        self.need(forward + backward)
        self.forward += forward
        self.backward += backward
