"""What a training compares logits with: one class of each image, or several findings, each present or absent, some unknown (−1).

Labels are (n,) of K classes, or (n, F) of findings; logits are (n, K), or (n, F), above 0 where the finding is present.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from palpate.core.errors import InputError
from palpate.training.sampling import class_counts, class_weights
from palpate.training.spec import TrainSpec


def loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy, the mean over the images; of findings the binary one, the mean over what is known, 0 where nothing is.

    Args:
        weights: of the classes (K,), or of each finding when it is absent and when it is present (F, 2); 1 when absent.
    """
    if labels.ndim == 1:
        weights = None if weights is None else weights.to(logits)
        return F.cross_entropy(logits, labels, weight=weights, reduction="none").mean()
    state = labels.clamp(min=0)
    each = F.binary_cross_entropy_with_logits(logits, state.to(logits), reduction="none")
    if weights is not None:
        each = each * weights.to(logits)[torch.arange(labels.shape[1], device=labels.device), state]
    return _known_mean(each, labels)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of the images that are right; of findings the share of what is known."""
    if labels.ndim == 1:
        return (logits.argmax(1) == labels).float().mean().item()
    return _known_mean(((logits > 0) == (labels == 1)).float(), labels).item()


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """The mean recall over the classes that are there; of findings the mean of that over absent and present."""
    if labels.ndim == 1:
        return _balanced(logits.argmax(1), labels)
    pairs = zip((logits > 0).long().T, labels.T, strict=True)
    columns = [(seen[known >= 0], known[known >= 0]) for seen, known in pairs]
    found = [_balanced(seen, known) for seen, known in columns if len(known)]
    return sum(found) / max(len(found), 1)


def loss_weights(labels: Tensor, classes: tuple[str, ...], findings: tuple[str, ...], spec: TrainSpec) -> Tensor:
    """The weights in `loss` of a training's labels: (K,), or (F, 2).

    Raises:
        InputError: a class, or a state of a finding, has no training image; settings that several findings cannot have.
    """
    if not findings:
        return class_weights(class_counts(labels, classes), spec.class_weights, classes)
    for name, given, allowed in (("sampling", spec.sampling, "uniform"), ("adversarial", spec.adversarial, None)):
        if given != allowed:
            fault = f"{name} must be {allowed or 'left out'} where images have several findings"
            raise InputError(f"{fault}, given {given}")
    known = [column[column >= 0] for column in labels.T]
    counts = [class_counts(column, (f"no {name}", name)) for name, column in zip(findings, known, strict=True)]
    if not isinstance(spec.class_weights, dict):
        return torch.stack([class_weights(count, spec.class_weights) for count in counts])
    present = class_weights(torch.ones(len(findings)), spec.class_weights, findings)
    return torch.stack([torch.ones(len(findings)), present], 1)


def _known_mean(values: Tensor, labels: Tensor) -> Tensor:
    known = labels >= 0
    return (values * known).sum() / known.sum().clamp(min=1)


def _balanced(predictions: Tensor, labels: Tensor) -> float:
    recalls = [(predictions[labels == label] == label).float().mean() for label in labels.unique()]
    return torch.stack(recalls).mean().item()


def make_optimizer(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = spec.learning_rate, spec.weight_decay
    if spec.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=decay)
    kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, rate, eps=spec.adam_epsilon, weight_decay=decay)
