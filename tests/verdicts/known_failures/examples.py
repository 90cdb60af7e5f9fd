"""Test networks with known failures, each to be found by a check that names its cause, and honest networks, which must pass.

They are split in two halves. Thresholds were chosen on half A alone and then shown on half B; the table says which is which.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from typing import Literal

from tests.verdicts.known_failures import failures, sweeps
from tests.verdicts.known_failures.networks import Cnn, copied, initialised
from tests.verdicts.known_failures.trained import EPSILONS, Trained
from torch import nn

import palpate
from palpate.attacks.losses import margin
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError
from palpate.core.records import VerdictRecord
from palpate.models.predict import predict_logits
from palpate.verdicts.api import trust

Made = tuple[nn.Module, Sweep | None]
"""A model, and a sweep where the failure is in the result; else palpate's own sweep is taken."""


@dataclasses.dataclass(frozen=True)
class Example:
    """A failure or an honest model.

    Attributes:
        half: "A", on which thresholds were fixed, or "B", on which they are shown.
        make: from the trained networks.
        finders: check → words that its advice must hold; at least one of these checks must fail. Empty for honest models, where none may.
        source: where the failure is described.
    """

    name: str
    half: Literal["A", "B"]
    make: Callable[[Trained], Made]
    finders: dict[str, str]
    source: str = ""

    @property
    def failing(self) -> bool:
        return bool(self.finders)


def _in_front(step: nn.Module) -> Callable[[Trained], Made]:
    return lambda nets: (nn.Sequential(step, copied(nets.plain)).eval(), None)


def _saturated(nets: Trained) -> Made:
    model = nets.plain
    median = float(-margin(predict_logits(model, nets.x), nets.y).median())
    return failures.Scaled(copied(model), 1000 / median).eval(), None


def _stale(nets: Trained) -> Made:
    return copied(nets.plain).train(), None


def _decoy(nets: Trained) -> Made:
    return failures.Decoy(copied(nets.plain), initialised(nets.seed + 7, Cnn).eval()).eval(), None


def _thermometer(nets: Trained) -> Made:
    return nets.learn(lambda: nn.Sequential(failures.Thermometer(), Cnn(inputs=3 * failures.Thermometer.LEVELS))), None


def _resized(nets: Trained) -> Made:
    return nets.learn(lambda: nn.Sequential(failures.Resized(), Cnn())), None


def _pruned(nets: Trained) -> Made:
    model = copied(nets.plain)
    assert isinstance(model, Cnn)
    model.body = nn.Sequential(*model.body[:6], failures.Pruned(), *model.body[6:])
    return model.eval(), None


def _bytes(nets: Trained) -> Made:
    return failures.Bytes(nets.bytes).eval(), None


def _then(make: Callable[[Trained], nn.Module], *after: nn.Module) -> Callable[[Trained], Made]:
    return lambda nets: (nn.Sequential(copied(make(nets)), *after).eval(), None)


def _result(broken: Callable[..., Sweep]) -> Callable[[Trained], Made]:
    return lambda nets: (nets.plain, broken(nets.plain, nets.x, nets.y, EPSILONS))


SLIP = "a mistake in the code"
ATHALYE = "Athalye et al. 2018, arXiv 1802.00420, section"
CARLINI = "Carlini et al. 2019, arXiv 1902.06705, section"

SATURATED = {"margin loss": "saturated", "gradients": "saturates"}
PROBABILITIES = {"mode and logits": "probabilities"}
NO_GRADIENT = {"gradients": "cannot be differentiated"}
ROUGH = {"finite differences": "jumps", "steps and restarts": "does not find", "best iterate": "earlier iterate"}
RANDOM = {"deterministic": "asked again", "same gradient": "asked again"}
WEAK = {"independent attacks": "its number of steps, its step size, the sign of its loss and the unit of its epsilon"}

FAILURES: tuple[Example, ...] = (
    Example("saturated head", "A", _saturated, SATURATED, "Carlini & Wagner 2016, arXiv 1607.04311"),
    Example("distilled", "B", lambda nets: (nets.distilled, None), SATURATED, "Papernot et al. 2016, arXiv 1511.04508"),
    Example("double softmax", "A", _then(lambda nets: nets.plain, failures.Probabilities()), PROBABILITIES, SLIP),
    Example("sigmoid output", "B", _then(lambda nets: nets.one_logit, failures.Probabilities()), PROBABILITIES, SLIP),
    Example(
        "input quantisation", "A", _in_front(failures.Quantised(8)), NO_GRADIENT, "Xu et al. 2018, arXiv 1704.01155"
    ),
    Example("JPEG rounding", "B", _in_front(failures.Jpeg(0.1)), NO_GRADIENT, "Guo et al. 2018, arXiv 1711.00117"),
    Example("thermometer", "B", _thermometer, NO_GRADIENT, "Buckman et al. 2018, ICLR"),
    Example("staircase", "A", _in_front(failures.Staircase(16, 20000.0)), ROUGH, f"{ATHALYE} 3"),
    Example("hidden step", "A", _decoy, {"finite differences": "hidden"}, f"{ATHALYE} 4.1"),
    Example("k-winners-take-all", "B", lambda nets: (nets.winners, None), ROUGH, "Xiao et al. 2020, arXiv 1905.10510"),
    Example("squashed logits", "B", _then(lambda nets: nets.plain, failures.Squashed()), NO_GRADIENT, f"{ATHALYE} 3"),
    Example("infinite slope", "A", _in_front(failures.Gamma()), {"gradients": "not a number"}, f"{CARLINI} 4.7"),
    Example("random resizing", "A", _resized, RANDOM, "Xie et al. 2018, arXiv 1711.01991"),
    Example("activation pruning", "B", _pruned, RANDOM, "Dhillon et al. 2018, arXiv 1803.01442"),
    Example("strong noise", "B", _in_front(failures.Noise(0.06)), RANDOM, "He et al. 2019, arXiv 1811.09310"),
    Example("stale train mode", "A", _stale, {"mode and logits": "train()"}, SLIP),
    Example("bytes expected", "B", _bytes, {"input range": "from 0 to 255"}, SLIP),
    Example("wrong epsilon unit", "A", _result(sweeps.wrong_unit), WEAK, "arXiv 2210.14405 names no unit"),
    Example("tiny steps", "B", _result(sweeps.tiny_steps), WEAK, f"{CARLINI} 4.9"),
    Example("zero steps", "A", _result(sweeps.zero_steps), WEAK, f"{CARLINI} 4.8"),
    Example("wrong sign", "B", _result(sweeps.wrong_sign), WEAK, f"{CARLINI} 4.14"),
    Example("no projection", "A", _result(sweeps.no_projection), {"ball and box": "projection"}, f"{CARLINI} 2.2"),
    Example("crashes counted", "B", _result(sweeps.crashes_counted), {"ball and box": "failed"}, SLIP),
)

HONEST: tuple[Example, ...] = (
    Example("plain", "A", lambda nets: (nets.plain, None), {}),
    Example("attention", "B", lambda nets: (nets.attentive, None), {}),
    Example("adversarially trained", "A", lambda nets: (nets.adversarial, None), {}),
    Example("transformer", "B", lambda nets: (nets.transformer, None), {}),
    Example("one logit", "A", lambda nets: (nets.one_logit, None), {}),
    Example("slightly noisy", "B", _in_front(failures.Noise(1 / 255)), {}),
    Example("hardly trained", "A", lambda nets: (nets.weak, None), {}),
    Example("smooth activations", "B", lambda nets: (nets.smooth, None), {}),
)

EXAMPLES = FAILURES + HONEST


def examine(example: Example, nets: Trained, budget: int | None = None) -> list[VerdictRecord]:
    """All verdicts on an example: with its own sweep, or palpate's, and an independently trained sibling."""
    model, sweep = example.make(nets)
    if sweep is None:
        was = {module: module.training for module in model.modules()}
        # A sweep may refuse a model without gradient or with one logit; the verdict is then about the model alone.
        with contextlib.suppress(RuntimeError, IndexError, InputError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sweep = palpate.sweep(model, nets.x, nets.y, EPSILONS, {"attack": "standard", "seed": nets.seed})
        for module, mode in was.items():
            module.training = mode
    return trust(model, nets.x, nets.y, EPSILONS, sweep, sibling=nets.sibling, budget=budget, seed=nets.seed)


def found_out(example: Example, verdicts: list[VerdictRecord]) -> bool:
    """Whether a check that names the cause failed, with the words that say what to do."""
    return any(
        verdict.status == "fail" and example.finders.get(verdict.name, "\0") in verdict.advice for verdict in verdicts
    )
