"""Test networks with known failures, each to be found by a check that names its cause, and honest networks, which must pass.

They are split in two halves. Thresholds were chosen on half A alone and then shown on half B; the table says which is which.
"""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from tests.verdicts.known_failures import failures, memory, sweeps
from tests.verdicts.known_failures.networks import Cnn, copied, initialised
from tests.verdicts.known_failures.trained import EPSILONS, Trained
from torch import Tensor, nn

import palpate
from palpate.attacks.losses import margin
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError
from palpate.core.records import VerdictRecord
from palpate.models.adapt import as_logits_model
from palpate.models.predict import predict_logits
from palpate.verdicts.api import trust


class Made(NamedTuple):
    """A model, and where the failure is not in it: a sweep instead of palpate's own, other labels, or an expected clean accuracy."""

    model: nn.Module
    sweep: Sweep | None = None
    labels: Tensor | None = None
    expect: float | None = None


Make = Callable[[Trained], Made]
ALL, CLASSES = ("skin", "digits7", "digits10", "findings"), ("skin", "digits7", "digits10")


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
    finders: dict[str, str]
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


def _in_front(step: nn.Module) -> Make:
    return lambda nets: Made(nn.Sequential(step, copied(nets.plain)).eval())


def _saturated(nets: Trained) -> Made:
    median = float((-margin(logits(nets.plain, nets), nets.y)).median())
    return Made(failures.Scaled(copied(nets.plain), 1000 / median).eval())


def _stale(nets: Trained) -> Made:
    return Made(copied(nets.plain).train())


def _decoy(nets: Trained) -> Made:
    return Made(failures.Decoy(copied(nets.plain), initialised(nets.seed + 7, nets.cnn).eval()).eval())


def _thermometer(nets: Trained) -> Made:
    channels = nets.x.shape[1] * failures.Thermometer.LEVELS
    return Made(nets.learn(lambda: nn.Sequential(failures.Thermometer(), nets.cnn(inputs=channels))))


def _resized(nets: Trained) -> Made:
    return Made(nets.learn(lambda: nn.Sequential(failures.Resized(), nets.cnn())))


def _pruned(nets: Trained) -> Made:
    model = copied(nets.plain)
    assert isinstance(model, Cnn)
    model.body = nn.Sequential(*model.body[:6], failures.Pruned(), *model.body[6:])
    return Made(model.eval())


def _memory(kind: type[memory.Memory], radius: float, weak: bool = False) -> Make:
    def make(nets: Trained) -> Made:
        model = kind(copied(nets.weak if weak else nets.plain), nets.x, nets.y, radius)
        model.finding = nets.finding
        return Made(model.eval())

    return make


def _off_by_one(nets: Trained) -> Made:
    return Made(copied(nets.plain), labels=1 - nets.y if nets.finding is not None else nets.y + 1)


def _not_normalised(nets: Trained) -> Made:
    inner, step = nets.normalised
    return Made(copied(inner), expect=accuracy(nn.Sequential(step, inner), nets))


def _inverted(nets: Trained) -> Made:
    return Made(nn.Sequential(failures.Inverted(), copied(nets.plain)).eval(), expect=accuracy(nets.plain, nets))


def _then(name: str, *after: nn.Module) -> Make:
    return lambda nets: Made(nn.Sequential(copied(getattr(nets, name)), *after).eval())


def _net(name: str) -> Make:
    return lambda nets: Made(copied(getattr(nets, name)))


def _result(broken: Callable[..., Sweep], name: str = "plain") -> Make:
    def make(nets: Trained) -> Made:
        model = getattr(nets, name)
        return Made(model, broken(as_logits_model(model, nets.finding), nets.x, nets.y, EPSILONS))

    return make


MISTAKE = "a mistake in the code"
ATHALYE = "Athalye et al. 2018, arXiv 1802.00420, section"
CARLINI = "Carlini et al. 2019, arXiv 1902.06705, section"

SATURATED = {"margin loss": "saturated", "gradients": "saturates"}
PROBABILITIES = {"mode and logits": "probabilities"}
NO_GRADIENT = {"gradients": "cannot be differentiated"}
ROUGH = {"finite differences": "jumps", "steps and restarts": "does not find", "best iterate": "earlier iterate"}
RANDOM = {
    "deterministic": "asked again",
    "same gradient": "again",
    "same logits": "again",
    "same answers at the end": "a state",
}
WEAK = {"independent attacks": "its number of steps, its step size, the sign of its loss and the unit of its epsilon"}
JUMP = {"gradient along a path": "a jump"}
MEMORISED = {
    "finite differences": "memorised",
    "gradient along a path": "memorised",
    "moved copies": "memorised",
    "half a grey level": "memorised",
}
NAN = {"numbers": "not a number"}
ORDER = {"class order": "classes"}
BATCH = {"batch": "other images of the batch"}
ERRORS = {"clean accuracy": "counts"}
EXPECTED = {"clean accuracy": "mean and standard deviation"}

FAILURES: tuple[Example, ...] = (
    Example("saturated head", "A", _saturated, SATURATED, "Carlini & Wagner 2016, arXiv 1607.04311"),
    Example("distilled", "B", _net("distilled"), SATURATED, "Papernot et al. 2016, arXiv 1511.04508", CLASSES),
    Example("double softmax", "A", _then("plain", failures.Probabilities()), PROBABILITIES, MISTAKE, CLASSES),
    Example("sigmoid output", "B", _then("one_logit", failures.Probabilities()), PROBABILITIES, MISTAKE, ("skin",)),
    Example("sigmoid findings", "B", _then("plain", nn.Sigmoid()), PROBABILITIES, MISTAKE, ("findings",)),
    Example("scaled softmax", "A", _then("plain", failures.ScaledSoftmax(10.0)), PROBABILITIES, MISTAKE, CLASSES),
    Example("shifted softmax", "B", _then("plain", failures.ScaledSoftmax(20.0, -4.0)), PROBABILITIES, MISTAKE, CLASSES),
    Example("input quantisation", "A", _in_front(failures.Quantised(8)), NO_GRADIENT, "Xu et al. 2018, arXiv 1704.01155"),
    Example("JPEG rounding", "B", _in_front(failures.Jpeg(0.1)), NO_GRADIENT, "Guo et al. 2018, arXiv 1711.00117"),
    Example("thermometer", "B", _thermometer, NO_GRADIENT, "Buckman et al. 2018, ICLR"),
    Example("staircase", "A", _in_front(failures.Staircase(16, 20000.0)), ROUGH, f"{ATHALYE} 3"),
    Example("hidden step", "A", _decoy, {"finite differences": "hidden"}, f"{ATHALYE} 4.1"),
    Example("k-winners-take-all", "B", _net("winners"), ROUGH, "Xiao et al. 2020, arXiv 1905.10510"),
    Example("squashed logits", "B", _then("plain", failures.Squashed()), NO_GRADIENT | JUMP, f"{ATHALYE} 3"),
    Example("infinite slope", "A", _in_front(failures.Gamma()), {"gradients": "not a number"}, f"{CARLINI} 4.7"),
    Example("random resizing", "A", _resized, RANDOM, "Xie et al. 2018, arXiv 1711.01991"),
    Example("activation pruning", "B", _pruned, RANDOM, "Dhillon et al. 2018, arXiv 1803.01442"),
    Example("strong noise", "B", _in_front(failures.Noise(0.06)), RANDOM, "He et al. 2019, arXiv 1811.09310"),
    Example(
        "random member", "A",
        lambda nets: Made(failures.OneOf([copied(net) for net in (nets.plain, nets.sibling, nets.third)]).eval()),
        RANDOM, f"{ATHALYE} 3.2",
    ),
    Example(
        "call counter", "B",
        lambda nets: Made(failures.OneOf([copied(net) for net in (nets.plain, nets.sibling)], turn=3).eval()),
        RANDOM, f"{ATHALYE} 3.2",
    ),
    Example("tires after 60 calls", "A", lambda nets: Made(failures.Tiring(copied(nets.plain), 60).eval()), RANDOM, f"{ATHALYE} 3.2"),
    Example("stale train mode", "A", _stale, {"mode and logits": "train()"}, MISTAKE),
    Example("bytes expected", "B", _net("bytes"), {"input range": "from 0 to 255"}, MISTAKE),
    Example("mean of the batch", "A", _then("plain", failures.LessBatchMean()), BATCH, MISTAKE),
    Example(
        "statistics of the batch", "B",
        lambda nets: Made(failures.with_batch_statistics(copied(nets.plain))), BATCH, MISTAKE,
    ),
    Example("memorised in a ball", "A", _memory(memory.Memory, 0.08), MEMORISED, MISTAKE),
    Example("memorised exactly", "B", _memory(memory.Memory, 1e-6, weak=True), MEMORISED, MISTAKE),
    Example("nearest image", "B", _memory(memory.Nearest, 0.0), MEMORISED, MISTAKE),
    Example("replaced by memory", "A", _memory(memory.Snapped, 0.08), MEMORISED, MISTAKE),
    Example("NaN when moved", "A", _memory(memory.OnlyThese, 1e-6), NAN, MISTAKE),
    Example("NaN between grey levels", "B", lambda nets: Made(memory.OnlyGreyLevels(copied(nets.plain))), NAN, MISTAKE),
    Example(
        "permuted classes", "A",
        lambda nets: Made(failures.Permuted(copied(nets.plain), nets.finding is not None)), ORDER, MISTAKE,
    ),
    Example("labels off by one", "B", _off_by_one, ORDER, MISTAKE),
    Example("no normalisation", "A", _not_normalised, EXPECTED | {"input range": "normalisation"}, MISTAKE),
    Example("black and white exchanged", "B", _inverted, EXPECTED | {"input range": "normalisation"}, MISTAKE),
    Example("wrong epsilon unit", "A", _result(sweeps.wrong_unit), WEAK, "arXiv 2210.14405 names no unit"),
    Example("tiny steps", "B", _result(sweeps.tiny_steps), WEAK, f"{CARLINI} 4.9"),
    Example("zero steps", "A", _result(sweeps.zero_steps), WEAK, f"{CARLINI} 4.8"),
    Example("wrong sign", "B", _result(sweeps.wrong_sign), WEAK, f"{CARLINI} 4.14"),
    Example("one step for many", "A", _result(sweeps.single_step, "dense"), WEAK, f"{CARLINI} 4.9"),
    Example("stopped early", "B", _result(sweeps.stopped_early, "dense"), WEAK, f"{CARLINI} 4.9"),
    Example("no projection", "A", _result(sweeps.no_projection), {"ball and box": "projection"}, f"{CARLINI} 2.2"),
    Example("crashes counted", "B", _result(sweeps.crashes_counted), {"ball and box": "failed"}, MISTAKE),
    Example("errors counted", "A", _result(sweeps.errors_counted, "weak"), ERRORS, MISTAKE),
    Example("predictions for labels", "B", _result(sweeps.predictions_for_labels, "weak"), ERRORS, MISTAKE),
)  # fmt: skip

HONEST: tuple[Example, ...] = (
    Example("plain", "A", _net("plain"), {}),
    Example("attention", "B", _net("attentive"), {}),
    Example("adversarially trained", "A", _net("adversarial"), {}),
    Example("transformer", "B", _net("transformer"), {}),
    Example("one logit", "A", _net("one_logit"), {}, tasks=("skin",)),
    Example("slightly noisy", "B", _in_front(failures.Noise(1 / 255)), {}),
    Example("hardly trained", "A", _net("weak"), {}),
    Example("smooth activations", "B", _net("smooth"), {}),
    Example("dense blocks", "A", _net("dense"), {}),
    Example("mixer", "B", _net("mixer"), {}),
    Example("an excluded class", "A", _then("plain", failures.Excluded(-1e4)), {}, tasks=CLASSES),
    Example("a class at −∞", "B", _then("plain", failures.Excluded(float("-inf"))), {}, tasks=CLASSES),
)

EXAMPLES = FAILURES + HONEST


def examine(example: Example, nets: Trained, budget: int | None = None) -> list[VerdictRecord]:
    """All verdicts on an example: with its own sweep, or palpate's, and an independently trained sibling."""
    made = example.make(nets)
    labels, sweep = nets.y if made.labels is None else made.labels, made.sweep
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(nets.seed)
        if sweep is None:
            was = {module: module.training for module in made.model.modules()}
            # A sweep may refuse a model without gradient; the verdict is then about the model alone.
            with contextlib.suppress(RuntimeError, IndexError, InputError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                attack = {"attack": "standard", "seed": nets.seed}
                sweep = palpate.sweep(made.model, nets.x, labels, EPSILONS, attack, finding=nets.finding)
            for module, mode in was.items():
                module.training = mode
    return trust(
        made.model,
        nets.x,
        labels,
        EPSILONS,
        sweep,
        sibling=nets.sibling,
        finding=nets.finding,
        expect=made.expect,
        budget=budget,
        seed=nets.seed,
    )


def found_out(example: Example, verdicts: list[VerdictRecord]) -> bool:
    """Whether a check that names the cause failed, with the words that say what to do."""
    return any(
        verdict.status == "fail" and example.finders.get(verdict.name, "\0") in verdict.advice for verdict in verdicts
    )
