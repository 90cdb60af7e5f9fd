"""How many numbers a classifier holds, counted as Keras counts, so that the paper's table can be checked to the unit.

torch and Keras count the same networks differently: Keras includes the running mean and variance of a batch norm, its
ResNet-50 has a bias in every convolution (which a batch norm makes redundant: ours is folded into the running mean), and
its Inception-ResNet-v2 has no scale in a batch norm (ours is 1 and, in the source "keras", not trained).
"""

from dataclasses import dataclass

import torch

from palpate.models.build import build
from palpate.models.classifier import Classifier


def parameter_count(model: Classifier, as_keras: bool = True) -> int:
    """The number of parameters of a classifier.

    Args:
        model: any classifier.
        as_keras: weights, biases, and scale, shift, mean and variance of batch norms, those that Keras' network has.
            False counts torch's parameters, trained or not.
    """
    count = sum(parameter.numel() for parameter in model.parameters())
    if not as_keras:
        return count
    name = "" if model.spec is None else model.spec["backbone"].rpartition(":")[2]
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            count += 2 * module.num_features  # running mean and variance
            if name == "resnet50":
                count += module.num_features  # the bias of the convolution before it
            if name == "inception_resnet_v2" and module.affine:
                count -= module.num_features  # a scale that Keras does not have
    return count


@dataclass(frozen=True)
class ParameterRow:
    """One model of the paper: what was counted, and what Keras' enumeration of the same model gives."""

    backbone: str
    attention: str | None
    size: int
    num_classes: int
    counted: int
    keras: int


# Keras' `count_params()` of the paper's models: backbone, size → attention → (2 classes, 7 classes).
_KERAS = {
    ("keras:resnet50", 224): {None: (23_591_810, 23_602_055), "full": (23_890_834, 23_911_319)},
    ("keras:inception_resnet_v2", 224): {None: (47_474_210, 47_498_215), "full": (47_499_186, 47_516_471)},
    ("keras:inception_resnet_v2", 299): {None: (47_489_186, 47_550_631), "full": (47_504_562, 47_535_287)},
}


def parameter_table() -> list[ParameterRow]:
    """Every model of the paper with its parameters counted, without allocating one of them."""
    rows = []
    for (backbone, size), attentions in _KERAS.items():
        for attention, counts in attentions.items():
            for num_classes, keras in zip((2, 7), counts, strict=True):
                with torch.device("meta"):
                    model = build(backbone, attention, num_classes=num_classes, size=size)
                rows.append(ParameterRow(backbone, attention, size, num_classes, parameter_count(model), keras))
    return rows
