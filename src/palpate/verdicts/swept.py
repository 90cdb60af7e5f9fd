"""The sweep that the checks examine, or why it cannot belong to the images."""

import dataclasses

from palpate.attacks.result import Sweep
from palpate.verdicts.check import NotRun


@dataclasses.dataclass(frozen=True)
class SweepUnderTest:
    """The sweep that is examined.

    Attributes:
        sweep: its result on all images; None where it cannot belong to them.
        reason: why it cannot, or "".
        relabelled: on how many images it has another label than was given.
    """

    sweep: Sweep | None
    reason: str = ""
    relabelled: int = 0

    @property
    def whole(self) -> Sweep:
        """The sweep.

        Raises:
            NotRun: it belongs to other images.
        """
        if self.sweep is None:
            raise NotRun(self.reason)
        return self.sweep
