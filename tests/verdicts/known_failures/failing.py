"""The known failures, each to be found by a check that names its cause.

They are split in two halves. Thresholds were chosen on half A alone and then shown on half B (docs/trust.md).
"""

import torch
from tests.verdicts.known_failures import failures, memory, misleading
from tests.verdicts.known_failures.example import (
    CLASSES,
    TWO,
    Example,
    Made,
    Make,
    accuracy,
    in_front,
    logits,
    net,
    then,
)
from tests.verdicts.known_failures.networks import Cnn, Residual, copied, initialised
from tests.verdicts.known_failures.trained import Trained
from torch import nn

from palpate.attacks.losses import margin
from palpate.models.adapt import as_logits_model
from palpate.models.predict import predict_logits


def typical(nets: Trained) -> float:
    """Median absolute margin of the plain network, in logits."""
    return float(margin(logits(nets.plain, nets), nets.y).abs().median())


def _saturated(nets: Trained) -> Made:
    lead = -margin(logits(nets.plain, nets), nets.y)
    return Made(failures.Scaled(copied(nets.plain), 1000 / float(lead[lead > 0].median())).eval())


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
        model.bonus = 10.0 if kind is memory.Smooth else model.bonus
        return Made(model.eval())

    return make


def _off_by_one(nets: Trained) -> Made:
    return Made(copied(nets.plain), labels=1 - nets.y if nets.finding is not None else nets.y + 1)


def _not_normalised(nets: Trained) -> Made:
    inner, step = nets.normalised
    return Made(copied(inner), expect=accuracy(nn.Sequential(step, inner), nets))


def _random_labels(nets: Trained) -> Made:
    order = torch.randperm(len(nets.y), generator=torch.Generator().manual_seed(nets.seed))
    return Made(copied(nets.plain), labels=nets.y[order], expect=accuracy(nets.plain, nets))


def _inverted(nets: Trained) -> Made:
    """With the whole pool of images: on 64 of them it may cost too little accuracy to differ from chance."""
    pool, labels = nets.task.x, nets.task.y
    model = nn.Sequential(failures.Inverted(), copied(nets.plain)).eval()
    right = predict_logits(as_logits_model(nets.plain, nets.finding), pool).argmax(1) == labels
    return Made(model, expect=float(right.float().mean()), images=pool, labels=labels)


def _stochastic_depth(nets: Trained) -> Made:
    model = copied(nets.learn(lambda: Residual(nets.task.classes, nets.x.shape[1])))
    assert isinstance(model, Residual)
    model.always = True
    return Made(model)


def _equalised(nets: Trained) -> Made:
    return Made(copied(nets.learn(lambda: nn.Sequential(misleading.Equalised(), nets.cnn()))))


MISTAKE = "a mistake in the code"
ATHALYE = "Athalye et al. 2018, arXiv 1802.00420, section"
CARLINI = "Carlini et al. 2019, arXiv 1902.06705, section"

SATURATED = {"margin loss": "saturated", "gradients": "saturates"}
PROBABILITIES = {"mode and logits": "probabilities"}
MISLED = {"finite differences": "does not describe", "gradient along a path": "not in the gradient"}
NO_GRADIENT = {"gradients": "cannot be differentiated"}
STUCK = {"unbounded": "no direction"}
ROUGH = {"finite differences": "jumps", "steps and restarts": "does not find", "best iterate": "earlier iterate"}
RANDOM = {
    "deterministic": "asked again",
    "same gradient": "again",
    "same logits": "again",
    "same answers at the end": "a state",
}
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
EXPECTED = {"clean accuracy": "mean and standard deviation"}

FAILURES: tuple[Example, ...] = (
    Example("saturated head", "A", _saturated, SATURATED, "Carlini & Wagner 2016, arXiv 1607.04311"),
    Example("distilled", "B", net("distilled"), SATURATED, "Papernot et al. 2016, arXiv 1511.04508", CLASSES),
    Example("double softmax", "A", then("plain", failures.Probabilities()), PROBABILITIES, MISTAKE, CLASSES),
    Example("sigmoid output", "B", then("one_logit", failures.Probabilities()), PROBABILITIES, MISTAKE, TWO),
    Example("sigmoid findings", "B", then("plain", nn.Sigmoid()), PROBABILITIES, MISTAKE, ("findings",)),
    Example("scaled softmax", "A", then("plain", failures.ScaledSoftmax(10.0)), PROBABILITIES, MISTAKE, CLASSES),
    Example("shifted softmax", "A", then("plain", failures.ScaledSoftmax(20.0, -4.0)), PROBABILITIES, MISTAKE, CLASSES),
    Example("input quantisation", "A", in_front(failures.Quantised(8)), NO_GRADIENT, "Xu et al. 2018, arXiv 1704.01155"),
    Example("JPEG rounding", "B", in_front(failures.Jpeg(0.1)), NO_GRADIENT, "Guo et al. 2018, arXiv 1711.00117"),
    Example("thermometer", "B", _thermometer, NO_GRADIENT, "Buckman et al. 2018, ICLR"),
    Example("staircase", "A", in_front(failures.Staircase(16, 20000.0)), ROUGH, f"{ATHALYE} 3"),
    Example("hidden step", "A", _decoy, {"finite differences": "hidden"}, f"{ATHALYE} 4.1"),
    Example("k-winners-take-all", "B", net("winners"), ROUGH, "Xiao et al. 2020, arXiv 1905.10510"),
    Example("squashed logits", "B", then("plain", failures.Squashed()), NO_GRADIENT | JUMP, f"{ATHALYE} 3"),
    Example("infinite slope", "A", in_front(failures.Gamma()), {"gradients": "not a number"}, f"{CARLINI} 4.7"),
    Example("random resizing", "A", _resized, RANDOM, "Xie et al. 2018, arXiv 1711.01991"),
    Example("activation pruning", "B", _pruned, RANDOM, "Dhillon et al. 2018, arXiv 1803.01442"),
    Example("strong noise", "B", in_front(failures.Noise(0.06)), RANDOM, "He et al. 2019, arXiv 1811.09310"),
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
    Example("bytes expected", "B", net("bytes"), {"input range": "from 0 to 255"}, MISTAKE),
    Example("mean of the batch", "A", then("plain", failures.LessBatchMean()), BATCH, MISTAKE),
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
    Example("black and white exchanged", "A", _inverted, EXPECTED | {"input range": "normalisation"}, MISTAKE),
    # Added after the others, when the checks of more than two classes were measured.
    Example("gradient turned", "A", in_front(misleading.TimesGradient(-1.0)), MISLED, MISTAKE),
    Example("gradient too small", "B", in_front(misleading.TimesGradient(1e-3)), MISLED, MISTAKE),
    Example("one pixel of 16 seen", "A", in_front(misleading.Sighted(4)), MISLED, MISTAKE),
    Example("half of the image seen", "B", in_front(misleading.Sighted()), MISLED, MISTAKE),
    Example("straight-through rounding", "A", in_front(misleading.StraightThrough(8)), MISLED, "Bengio et al. 2013, arXiv 1308.3432"),
    Example("threshold", "B", in_front(misleading.Threshold()), NO_GRADIENT, f"{ATHALYE} 3"),
    Example("temperature 1/1000", "B", then("plain", misleading.Times(1e3)), SATURATED, "Carlini & Wagner 2016, arXiv 1607.04311"),
    Example(
        "clipped logits", "A",
        lambda nets: Made(nn.Sequential(copied(nets.plain), misleading.Clipped(0.2 * typical(nets)))),
        NO_GRADIENT | STUCK, MISTAKE, (*TWO, "findings"),
    ),
    Example(
        "rounded logits", "B",
        lambda nets: Made(nn.Sequential(copied(nets.plain), misleading.Rounded(0.2 * typical(nets)))), NO_GRADIENT | STUCK, MISTAKE,
    ),
    Example(
        "noisy logits", "A",
        lambda nets: Made(nn.Sequential(copied(nets.plain), misleading.LogitNoise(0.2 * typical(nets)))), RANDOM, f"{ATHALYE} 3.2",
    ),
    Example("dropout left on", "B", lambda nets: Made(misleading.with_dropout(copied(nets.plain))), RANDOM, MISTAKE),
    Example("place in the batch", "B", then("plain", misleading.ByPlace()), BATCH, MISTAKE),
    Example("infinite when moved", "B", lambda nets: Made(misleading.InfiniteWhenMoved(copied(nets.plain))), NAN, MISTAKE),
    Example("memorised smoothly", "A", _memory(memory.Smooth, 0.06), MEMORISED, MISTAKE),
    Example("memorised in a small ball", "B", _memory(memory.Memory, 0.03), MEMORISED, MISTAKE),
    Example("random labels, accuracy expected", "B", _random_labels, {"clean accuracy": "was expected"}, MISTAKE),
    # Added as a stranger would try them.
    Example("noise hashed from the image", "B", in_front(misleading.HashedNoise(0.06)), ROUGH, f"{ATHALYE} 3.2"),
    Example("noise on the gradient", "A", in_front(misleading.GradientNoise()), RANDOM, f"{ATHALYE} 3.2"),
    Example(
        "answers kept by a coarse hash", "A",
        lambda nets: Made(misleading.Cached(copied(nets.plain), False).eval()), NO_GRADIENT | MEMORISED, MISTAKE,
    ),
    Example(
        "kept answers, live gradient", "B",
        lambda nets: Made(misleading.Cached(copied(nets.plain), True).eval()), MISLED, MISTAKE,
    ),
    Example("histogram equalisation", "A", _equalised, NO_GRADIENT, f"{ATHALYE} 3"),
    Example("stochastic depth left on", "B", _stochastic_depth, RANDOM, MISTAKE),
)  # fmt: skip
