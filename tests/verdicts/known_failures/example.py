"""What an example is: a network, or a sweep, with a known failure and the checks that must find it, or an honest network, which must pass."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple
from unittest.mock import patch

import torch
from tests.verdicts.known_failures.networks import copied
from tests.verdicts.known_failures.tasks import EPSILONS, TASKS
from tests.verdicts.known_failures.trained import Trained
from torch import Tensor, nn

import palpate
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError
from palpate.core.records import VerdictRecord
from palpate.models.adapt import as_logits_model
from palpate.models.predict import predict_logits
from palpate.verdicts import api
from palpate.verdicts.api import trust
from palpate.verdicts.check import Check
from palpate.verdicts.context import CheckContext

ALL = tuple(TASKS)
CLASSES = tuple(name for name in TASKS if name != "findings")
TWO = ("skin", "pneumonia")
COLOUR = ("skin", "lesions")


class Made(NamedTuple):
    """A model, and what differs from the usual: a sweep that is not palpate's, labels, images, or an expected clean accuracy."""

    model: nn.Module
    sweep: Sweep | None = None
    labels: Tensor | None = None
    expect: float | None = None
    images: Tensor | None = None


Make = Callable[[Trained], Made]


@dataclasses.dataclass(frozen=True)
class Example:
    """A failure or an honest model.

    Attributes:
        half: "A", on which thresholds were fixed, or "B", on which they are shown.
        make: from the trained networks.
        finders: check → words that its advice must hold; at least one of these checks must fail. Empty for honest models, where none may.
        source: where the failure is described.
        tasks: for which it is made.
    """

    name: str
    half: Literal["A", "B"]
    make: Make
    finders: dict[str, str] = dataclasses.field(default_factory=dict)
    source: str = ""
    tasks: tuple[str, ...] = ALL

    @property
    def failing(self) -> bool:
        return bool(self.finders)


def logits(model: nn.Module, nets: Trained) -> Tensor:
    """Logits (n, K) of the tested images, as they are attacked."""
    return predict_logits(as_logits_model(model, nets.finding), nets.x)


def accuracy(model: nn.Module, nets: Trained) -> float:
    return float((logits(model, nets).argmax(1) == nets.y).float().mean())


def in_front(step: nn.Module) -> Make:
    """The plain network behind a step."""
    return lambda nets: Made(nn.Sequential(step, copied(nets.plain)).eval())


def then(name: str, *after: nn.Module) -> Make:
    """A trained network and steps after it."""
    return lambda nets: Made(nn.Sequential(copied(getattr(nets, name)), *after).eval())


def net(name: str) -> Make:
    """A trained network."""
    return lambda nets: Made(copied(getattr(nets, name)))


def examine(example: Example, nets: Trained, short: bool = False) -> list[VerdictRecord]:
    """All verdicts on an example: with its own sweep, or palpate's, and an independently trained sibling.

    In short no check is made after the one that names the failure; those before it are as they would be.
    """
    made = example.make(nets)
    images = nets.x if made.images is None else made.images
    labels, sweep = nets.y if made.labels is None else made.labels, made.sweep
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(nets.seed)
        if sweep is None:
            was = {module: module.training for module in made.model.modules()}
            # A sweep may refuse a model without gradient; the verdict is then about the model alone.
            with contextlib.suppress(RuntimeError, IndexError, InputError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attack = {"attack": "standard", "seed": nets.seed}
                sweep = palpate.sweep(made.model, images, labels, EPSILONS, attack, finding=nets.finding)
            for module, mode in was.items():
                module.training = mode
    with until(lambda verdict: short and named(example, [verdict])):
        return trust(
            made.model,
            images,
            labels,
            EPSILONS,
            sweep,
            sibling=nets.sibling,
            finding=nets.finding,
            expect=made.expect,
            seed=nets.seed,
        )


@contextlib.contextmanager
def until(enough: Callable[[VerdictRecord], bool]) -> Iterator[None]:
    """Leave out the checks after a verdict that is enough, by taking away what is left of the budget."""
    made = api._verdict

    def verdict(check: Check, context: CheckContext) -> VerdictRecord:
        record = made(check, context)
        if enough(record):
            context.access.budget.limit = 0
        return record

    with patch.object(api, "_verdict", verdict):
        yield


def named(example: Example, verdicts: list[VerdictRecord]) -> bool:
    """Whether a check that names the cause failed, with the words that say what to do."""
    return any(
        verdict.status == "fail" and example.finders.get(verdict.name, "\0") in verdict.advice for verdict in verdicts
    )


def right(example: Example, verdicts: list[VerdictRecord]) -> bool:
    """Whether the cause was named, or no check failed on an honest network."""
    return named(example, verdicts) if example.failing else all(verdict.status != "fail" for verdict in verdicts)
