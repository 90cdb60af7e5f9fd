"""What a training is given and what it gives: images, whom it tells, and the epochs that it went through."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from palpate.models.predict import Images, Progress
from palpate.models.resume import Resume


class Split(Protocol):
    """Images and their classes, 0 … K − 1."""

    @property
    def images(self) -> Images: ...
    @property
    def labels(self) -> Any: ...
    def __len__(self) -> int: ...


class LabelledImages(Protocol):
    """What training needs of a data set; `palpate.load` gives one."""

    @property
    def train(self) -> Split: ...
    @property
    def val(self) -> Split: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What one epoch cost and reached; losses in nats, accuracies in [0, 1]."""

    epoch: int  # from 1
    train_loss: float  # weighted cross-entropy, mean over the epoch's images
    train_accuracy: float  # of the same passes, so with dropout and before the epoch's later steps
    val_loss: float  # unweighted cross-entropy
    val_accuracy: float
    val_balanced_accuracy: float  # mean recall over the classes present
    learning_rate: float  # at the epoch's end
    seconds: float
    passes: int  # training images seen so far, each one forward and one backward


@dataclasses.dataclass(frozen=True)
class History:
    """The epochs of a training and which one was kept."""

    epochs: tuple[Epoch, ...]
    best_epoch: int  # from 1; the last where the specification keeps the last
    stopped_early: bool

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the model now has."""
        return self.epochs[self.best_epoch - 1]


@dataclasses.dataclass(frozen=True)
class Hooks:
    """Whom a training tells how far it is, and where it keeps its state; see `palpate.training.loop.fit`."""

    progress: Progress | None = None
    resume: Resume | None = None
    log: Callable[[Epoch], None] | None = None
