"""Train a classifier: one plain loop with class weights and early stopping, which keeps the best validation epoch or the last.

Lightning Fabric puts model and batches on the device; everything else is in sight here. The defaults of `TrainSpec` are the recipe of
arXiv 2210.14405: Adam with learning rate .01 and epsilon .1, weighted cross-entropy, at most 300 epochs, patience 40.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from palpate.core.errors import InputError
from palpate.models.predict import Progress, choose_device, predict_logits
from palpate.training.spec import AdversarialSpec, TrainSpec

if TYPE_CHECKING:
    from palpate.data.dataset import Dataset


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
    best_epoch: int  # from 1; the last where the recipe keeps the last
    stopped_early: bool

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the model now has."""
        return self.epochs[self.best_epoch - 1]


def fit(
    model: nn.Module,
    dataset: "Dataset",
    spec: TrainSpec | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> History:
    """Train the model in place and leave it with the weights of its best validation epoch, or of the last where `spec.keep` says so.

    Args:
        model: from images (N, 3, H, W) in [0, 1] to logits (N, K), K ≥ 2.
        dataset: its `train` and `val` splits are used; `test` is never touched.
        spec: the recipe; the paper's when absent.
        seed: decides order, sampling, augmentation and dropout. (The initial weights are the caller's.)
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: told training images done and in all.

    Returns:
        The history, one entry per epoch.

    Raises:
        InputError: a class is absent from training, there are no validation images, or the loss stopped being a number.
    """
    spec = spec or TrainSpec()  # pyright: ignore[reportCallIssue]
    labels = torch.as_tensor(np.asarray(dataset.train.labels), dtype=torch.long)
    counts = _class_counts(labels, dataset.classes)
    if len(dataset.val) == 0:
        raise InputError("val must hold images, given none: early stopping needs them; raise val_images")
    target = choose_device(device)
    devices = [target.index or 0] if target.type == "cuda" else 1
    if not spec.epochs:
        model.eval()
        return History((), 0, stopped_early=False)
    fabric = Fabric(accelerator=target.type, devices=devices)
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        torch.manual_seed(seed)
        return _loop(fabric, model, dataset, spec, labels, counts, torch.Generator().manual_seed(seed), progress)


def _loop(
    fabric: Fabric,
    model: nn.Module,
    dataset: "Dataset",
    spec: TrainSpec,
    labels: Tensor,
    counts: Tensor,
    generator: torch.Generator,
    progress: Progress | None,
) -> History:
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    model.train()
    optimizer = _optimizer(model, spec)
    wrapped, optimizer = fabric.setup(model, optimizer)
    weights = fabric.to_device(class_weights(counts, spec.class_weights, dataset.classes))
    per_epoch = max(1, round(spec.epoch_fraction * len(labels)))
    batches = len(list(_batches(torch.arange(per_epoch), spec.batch_size)))
    schedule = None
    if spec.schedule == "one-cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer.optimizer, spec.learning_rate, total_steps=spec.epochs * batches
        )
    val_labels = torch.as_tensor(np.asarray(dataset.val.labels), dtype=torch.long)
    epochs: list[Epoch] = []
    best_score, best_epoch, best_state = -math.inf, 0, {}
    total = spec.epochs * per_epoch
    for number in range(1, spec.epochs + 1):
        start = time.monotonic()
        order = _draw(labels, counts, per_epoch, spec.sampling, generator)
        loss_sum, right, seen = 0.0, 0, 0
        for chosen in _batches(order, spec.batch_size):
            images = dataset.train.images[chosen.numpy()]
            if spec.augment == "flips":
                images = _flip(images, generator)
            images, target = fabric.to_device(images), fabric.to_device(labels[chosen])
            if spec.adversarial:
                images = _perturb(model, images, target, spec.adversarial, generator)
            logits = wrapped(images)
            loss = F.cross_entropy(logits, target, weight=weights, reduction="none").mean()
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            if schedule:
                schedule.step()
            loss_sum += loss.item() * len(chosen)
            right += int((logits.argmax(1) == target).sum())
            seen += len(chosen)
            if not math.isfinite(loss_sum):
                raise InputError(
                    f"training diverged in epoch {number}: the loss is no longer a number; "
                    f"learning_rate must be lower, given {spec.learning_rate:g}"
                )
            if progress:
                progress((number - 1) * per_epoch + seen, total, _note(epochs))
        logits = predict_logits(model, dataset.val.images)
        epochs.append(
            Epoch(
                epoch=number,
                train_loss=loss_sum / seen,
                train_accuracy=right / seen,
                val_loss=F.cross_entropy(logits, val_labels).item(),
                val_accuracy=(logits.argmax(1) == val_labels).float().mean().item(),
                val_balanced_accuracy=_balanced_accuracy(logits.argmax(1), val_labels),
                learning_rate=optimizer.param_groups[0]["lr"],
                seconds=time.monotonic() - start,
                passes=(epochs[-1].passes if epochs else 0) + seen,
            )
        )
        score = epochs[-1].val_balanced_accuracy if spec.monitor == "val_balanced_accuracy" else -epochs[-1].val_loss
        if score > best_score + (spec.min_delta if best_epoch else 0):
            best_score, best_epoch = score, number
            best_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if number - best_epoch >= spec.patience:
            break
    if not best_state:
        raise InputError(
            f"training gave no usable epoch: the validation loss is not a number, learning_rate {spec.learning_rate:g}"
        )
    if spec.keep == "best":
        model.load_state_dict(best_state)
    if spec.batch_norm == "afresh":
        order = torch.randperm(len(labels), generator=generator)
        update_bn(
            (fabric.to_device(dataset.train.images[part.numpy()]) for part in _batches(order, spec.batch_size)), model
        )
    model.eval()
    kept = best_epoch if spec.keep == "best" else len(epochs)
    return History(tuple(epochs), kept, stopped_early=len(epochs) < spec.epochs)


def class_weights(counts: Tensor, kind: str | dict[str, float], classes: tuple[str, ...] = ()) -> Tensor:
    """Weights of the classes in the loss: "inverse" is N / (K·n_c), "sqrt-inverse" its root, "none" ones; or by name, the others 1.

    >>> class_weights(torch.tensor([1, 3]), "inverse").tolist()
    [2.0, 0.6666666865348816]

    Raises:
        InputError: a name is no class of the task.
    """
    if isinstance(kind, dict):
        unknown = sorted(kind.keys() - set(classes))
        if unknown:
            raise InputError(
                f"class_weights must name classes of the task ({', '.join(classes)}), given {', '.join(unknown)}"
            )
        return torch.tensor([kind.get(name, 1.0) for name in classes])
    if kind == "none":
        return torch.ones(len(counts))
    inverse = counts.sum() / (len(counts) * counts.float())
    return inverse if kind == "inverse" else inverse.sqrt()


def _class_counts(labels: Tensor, classes: tuple[str, ...]) -> Tensor:
    counts = torch.bincount(labels, minlength=len(classes))
    absent = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if absent:
        raise InputError(
            f"every class must have training images, none for: {', '.join(absent)}; raise train_images or merge classes"
        )
    return counts


def _optimizer(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = spec.learning_rate, spec.weight_decay
    if spec.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=decay)
    kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, rate, eps=spec.adam_epsilon, weight_decay=decay)


def _draw(labels: Tensor, counts: Tensor, size: int, sampling: str, generator: torch.Generator) -> Tensor:
    """The epoch's images as indices (size,): a shuffle, or drawn with replacement with weight n_c^(-1/2)."""
    if sampling == "uniform":
        return torch.randperm(len(labels), generator=generator)[:size]
    chances = counts.float().rsqrt()[labels]
    return torch.multinomial(chances, size, replacement=True, generator=generator)


def _batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Cut an epoch into batches; a last batch of one image is left out, since batch norm cannot work on it."""
    for batch in order.split(batch_size):
        if len(batch) > 1 or len(order) == 1:
            yield batch


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip and transpose each image (N, C, S, S) at random: the eight symmetries of the square."""
    draws = torch.rand(3, len(images), 1, 1, 1, generator=generator) < 0.5
    for draw, turned in zip(
        draws, (lambda x: x.flip(3), lambda x: x.flip(2), lambda x: x.transpose(2, 3)), strict=True
    ):
        images = torch.where(draw, turned(images), images)
    return images


def _perturb(
    model: nn.Module, images: Tensor, labels: Tensor, spec: AdversarialSpec, generator: torch.Generator
) -> Tensor:
    from palpate.attacks.steps import pgd

    return pgd(model, images, labels, spec.epsilon, steps=spec.steps, generator=generator)


def _balanced_accuracy(predictions: Tensor, labels: Tensor) -> float:
    recalls = [(predictions[labels == label] == label).float().mean() for label in labels.unique()]
    return torch.stack(recalls).mean().item()


def _note(epochs: list[Epoch]) -> str:
    return f"epoch {len(epochs) + 1}" + (
        f", val. loss {epochs[-1].val_loss:.3f}, balanced {epochs[-1].val_balanced_accuracy:.2f}" if epochs else ""
    )
