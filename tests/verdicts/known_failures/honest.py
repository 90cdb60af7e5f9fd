"""The honest networks, which no check may accuse, whatever their architecture, training and scale of logits."""

from tests.verdicts.known_failures import failures, misleading
from tests.verdicts.known_failures.example import CLASSES, TWO, Example, Made, Make, in_front, logits, net, then
from tests.verdicts.known_failures.honest_steps import Halved, InBfloat16, MeanOfProbabilities, MirrorMean, Rejecting
from tests.verdicts.known_failures.networks import Average, LessMean, Plus, Residual, copied, initialised
from tests.verdicts.known_failures.trained import Trained
from torch import nn


def _only_right(nets: Trained) -> Made:
    right = logits(nets.plain, nets).argmax(1) == nets.y
    return Made(copied(nets.plain), images=nets.x[right], labels=nets.y[right])


def _rejecting(nets: Trained) -> Made:
    surest = logits(nets.plain, nets).amax(1)
    return Made(nn.Sequential(copied(nets.plain), Rejecting(float(surest.quantile(0.1)))).eval())


def _probabilities(nets: Trained) -> Made:
    return Made(MeanOfProbabilities([nets.plain, nets.sibling, nets.third]).eval())


def _learned(*steps: nn.Module) -> Make:
    """A network that was trained behind the steps."""
    return lambda nets: Made(copied(nets.learn(lambda: nn.Sequential(*steps, nets.cnn()))))


def _residual(nets: Trained) -> Made:
    return Made(copied(nets.learn(lambda: Residual(nets.task.classes, nets.x.shape[1]))))


HONEST: tuple[Example, ...] = (
    Example("plain", "A", net("plain")),
    Example("attention", "B", net("attentive")),
    Example("adversarially trained", "A", net("adversarial")),
    Example("transformer", "B", net("transformer")),
    Example("one logit", "A", net("one_logit"), tasks=TWO),
    Example("slightly noisy", "A", in_front(failures.Noise(1 / 255))),
    Example("hardly trained", "A", net("weak")),
    Example("smooth activations", "B", net("smooth")),
    Example("dense blocks", "A", net("dense")),
    Example("mixer", "B", net("mixer")),
    Example("an excluded class", "A", then("plain", failures.Excluded(-1e4)), tasks=CLASSES),
    Example("a class at −∞", "A", then("plain", failures.Excluded(float("-inf"))), tasks=CLASSES),
    # Added after the others, when the checks of more than two classes were measured.
    Example("small logits", "A", then("plain", misleading.Times(1e-3))),
    Example("tiny logits", "A", then("plain", misleading.Times(1e-6))),
    Example("small batches", "A", net("small_batches")),
    Example("smoothed labels", "B", net("smoothed")),
    Example("linear", "A", net("linear")),
    Example("group norm and max pooling", "B", net("pooled")),
    Example("only images that are right", "A", _only_right),
    Example("first epoch", "A", net("begun")),
    Example("logits far from 0", "A", then("plain", Plus(1000.0)), tasks=CLASSES),
    Example("logits of sum 0", "A", then("plain", LessMean()), tasks=CLASSES),
    Example("log-probabilities", "A", then("plain", nn.LogSoftmax(1)), tasks=CLASSES),
    Example("average of three", "B", lambda nets: Made(Average([nets.plain, nets.sibling, nets.third]))),
    Example("trained with noise", "A", net("noised")),
    Example("cosine head", "B", net("cosine")),
    # Added as a stranger would try them.
    Example("a class for rejection", "B", _rejecting, tasks=CLASSES),
    Example("bfloat16", "A", lambda nets: Made(InBfloat16(copied(nets.plain)).eval())),
    Example("mean with the mirror image", "B", lambda nets: Made(MirrorMean(copied(nets.plain)).eval())),
    Example("logarithm of mean probabilities", "B", _probabilities, tasks=CLASSES),
    Example("blurred", "B", _learned(nn.AvgPool2d(7, 1, 3))),
    Example("half of the pixels", "B", _learned(Halved())),
    Example("residual blocks", "B", _residual),
    Example("untrained", "A", lambda nets: Made(initialised(nets.seed, nets.cnn).eval())),
)
