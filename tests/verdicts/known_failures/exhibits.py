"""The planted museum: failures that must be caught, each by a check that names its cause, and honest models that must not be.

It is split in two halves. Thresholds were chosen on half A alone and then shown on half B; which is which stands in this table.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from typing import Literal

from tests.verdicts.known_failures import defences, sweeps
from tests.verdicts.known_failures.networks import Cnn, copied, initialised
from tests.verdicts.known_failures.workshop import EPSILONS, Workshop
from torch import nn

import palpate
from palpate.attacks.losses import margin
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError
from palpate.models.predict import predict_logits
from palpate.verdicts.api import trust
from palpate.verdicts.verdict import Verdict

Specimen = tuple[nn.Module, Sweep | None]
"""A model, and a sweep where the failure is in the result; else palpate's own sweep is taken."""


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """A failure or an honest model.

    Attributes:
        half: "A", on which thresholds were fixed, or "B", on which they are shown.
        make: from the workshop.
        caught: check → words that its advice must hold; at least one of these checks must fail. Empty for honest models, where none may.
        source: where the failure is described.
    """

    name: str
    half: Literal["A", "B"]
    make: Callable[[Workshop], Specimen]
    caught: dict[str, str]
    source: str = ""

    @property
    def planted(self) -> bool:
        return bool(self.caught)


def _in_front(step: nn.Module) -> Callable[[Workshop], Specimen]:
    return lambda shop: (nn.Sequential(step, copied(shop.plain)).eval(), None)


def _saturated(shop: Workshop) -> Specimen:
    model = shop.plain
    median = float(-margin(predict_logits(model, shop.x), shop.y).median())
    return defences.Scaled(copied(model), 1000 / median).eval(), None


def _stale(shop: Workshop) -> Specimen:
    return copied(shop.plain).train(), None


def _decoy(shop: Workshop) -> Specimen:
    return defences.Decoy(copied(shop.plain), initialised(shop.seed + 7, Cnn).eval()).eval(), None


def _thermometer(shop: Workshop) -> Specimen:
    return shop.learn(lambda: nn.Sequential(defences.Thermometer(), Cnn(inputs=3 * defences.Thermometer.LEVELS))), None


def _resized(shop: Workshop) -> Specimen:
    return shop.learn(lambda: nn.Sequential(defences.Resized(), Cnn())), None


def _pruned(shop: Workshop) -> Specimen:
    model = copied(shop.plain)
    assert isinstance(model, Cnn)
    model.body = nn.Sequential(*model.body[:6], defences.Pruned(), *model.body[6:])
    return model.eval(), None


def _bytes(shop: Workshop) -> Specimen:
    return defences.Bytes(shop.bytes).eval(), None


def _then(make: Callable[[Workshop], nn.Module], *after: nn.Module) -> Callable[[Workshop], Specimen]:
    return lambda shop: (nn.Sequential(copied(make(shop)), *after).eval(), None)


def _result(broken: Callable[..., Sweep]) -> Callable[[Workshop], Specimen]:
    return lambda shop: (shop.plain, broken(shop.plain, shop.x, shop.y, EPSILONS))


SLIP = "a slip of the hand"
ATHALYE = "Athalye et al. 2018, arXiv 1802.00420, section"
CARLINI = "Carlini et al. 2019, arXiv 1902.06705, section"

SATURATED = {"margin loss": "saturated", "gradients": "saturates"}
PROBABILITIES = {"mode and logits": "probabilities"}
NO_GRADIENT = {"gradients": "cannot be differentiated"}
ROUGH = {"finite differences": "jumps", "steps and restarts": "does not find", "best iterate": "earlier iterate"}
RANDOM = {"deterministic": "asked again", "same gradient": "asked again"}
WEAK = {"independent attacks": "its number of steps, its step size, the sign of its loss and the unit of its epsilon"}

PLANTED: tuple[Exhibit, ...] = (
    Exhibit("saturated head", "A", _saturated, SATURATED, "Carlini & Wagner 2016, arXiv 1607.04311"),
    Exhibit("distilled", "B", lambda shop: (shop.distilled, None), SATURATED, "Papernot et al. 2016, arXiv 1511.04508"),
    Exhibit("double softmax", "A", _then(lambda shop: shop.plain, defences.Probabilities()), PROBABILITIES, SLIP),
    Exhibit("sigmoid output", "B", _then(lambda shop: shop.one_logit, defences.Probabilities()), PROBABILITIES, SLIP),
    Exhibit(
        "input quantisation", "A", _in_front(defences.Quantised(8)), NO_GRADIENT, "Xu et al. 2018, arXiv 1704.01155"
    ),
    Exhibit("JPEG rounding", "B", _in_front(defences.Jpeg(0.1)), NO_GRADIENT, "Guo et al. 2018, arXiv 1711.00117"),
    Exhibit("thermometer", "B", _thermometer, NO_GRADIENT, "Buckman et al. 2018, ICLR"),
    Exhibit("staircase", "A", _in_front(defences.Staircase(16, 20000.0)), ROUGH, f"{ATHALYE} 3"),
    Exhibit("hidden step", "A", _decoy, {"finite differences": "hidden"}, f"{ATHALYE} 4.1"),
    Exhibit("k-winners-take-all", "B", lambda shop: (shop.winners, None), ROUGH, "Xiao et al. 2020, arXiv 1905.10510"),
    Exhibit("squashed logits", "B", _then(lambda shop: shop.plain, defences.Squashed()), NO_GRADIENT, f"{ATHALYE} 3"),
    Exhibit("infinite slope", "A", _in_front(defences.Gamma()), {"gradients": "not a number"}, f"{CARLINI} 4.7"),
    Exhibit("random resizing", "A", _resized, RANDOM, "Xie et al. 2018, arXiv 1711.01991"),
    Exhibit("activation pruning", "B", _pruned, RANDOM, "Dhillon et al. 2018, arXiv 1803.01442"),
    Exhibit("strong noise", "B", _in_front(defences.Noise(0.06)), RANDOM, "He et al. 2019, arXiv 1811.09310"),
    Exhibit("stale train mode", "A", _stale, {"mode and logits": "train()"}, SLIP),
    Exhibit("bytes expected", "B", _bytes, {"input range": "from 0 to 255"}, SLIP),
    Exhibit("wrong epsilon unit", "A", _result(sweeps.wrong_unit), WEAK, "arXiv 2210.14405 names no unit"),
    Exhibit("tiny steps", "B", _result(sweeps.tiny_steps), WEAK, f"{CARLINI} 4.9"),
    Exhibit("zero steps", "A", _result(sweeps.zero_steps), WEAK, f"{CARLINI} 4.8"),
    Exhibit("wrong sign", "B", _result(sweeps.wrong_sign), WEAK, f"{CARLINI} 4.14"),
    Exhibit("no projection", "A", _result(sweeps.no_projection), {"ball and box": "projection"}, f"{CARLINI} 2.2"),
    Exhibit("crashes counted", "B", _result(sweeps.crashes_counted), {"ball and box": "failed"}, SLIP),
)

HONEST: tuple[Exhibit, ...] = (
    Exhibit("plain", "A", lambda shop: (shop.plain, None), {}),
    Exhibit("attention", "B", lambda shop: (shop.attentive, None), {}),
    Exhibit("adversarially trained", "A", lambda shop: (shop.adversarial, None), {}),
    Exhibit("transformer", "B", lambda shop: (shop.transformer, None), {}),
    Exhibit("one logit", "A", lambda shop: (shop.one_logit, None), {}),
    Exhibit("slightly noisy", "B", _in_front(defences.Noise(1 / 255)), {}),
    Exhibit("hardly trained", "A", lambda shop: (shop.weak, None), {}),
    Exhibit("smooth activations", "B", lambda shop: (shop.smooth, None), {}),
)

EXHIBITS = PLANTED + HONEST


def examine(exhibit: Exhibit, shop: Workshop, budget: int | None = None) -> list[Verdict]:
    """All verdicts on an exhibit: with its own sweep, or palpate's, and an independently trained sibling."""
    model, found = exhibit.make(shop)
    if found is None:
        was = {module: module.training for module in model.modules()}
        # A sweep may refuse a model without gradient or with one logit; the verdict is then about the model alone.
        with contextlib.suppress(RuntimeError, IndexError, InputError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = palpate.sweep(model, shop.x, shop.y, EPSILONS, seed=shop.seed)
        for module, mode in was.items():
            module.training = mode
    return trust(model, shop.x, shop.y, EPSILONS, found, shop.sibling, budget, shop.seed)


def caught(exhibit: Exhibit, verdicts: list[Verdict]) -> bool:
    """Whether a check that names the cause failed, with the words that say what to do."""
    return any(
        verdict.status == "fail" and exhibit.caught.get(verdict.name, "\0") in verdict.advice for verdict in verdicts
    )
