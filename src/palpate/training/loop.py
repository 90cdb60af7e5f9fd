"""Train a classifier: one plain loop with class weights and early stopping, which keeps the best validation epoch or the last.

Lightning Fabric puts model and batches on the device; everything else is in sight here.
"""

import dataclasses
import math
import time
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from palpate.attacks.norms import random_start
from palpate.attacks.pgd import pgd
from palpate.core.errors import InputError
from palpate.models.adapt import as_logits_model
from palpate.models.checkpoint import check_finite
from palpate.models.classifier import Classifier
from palpate.models.layout import use_channels_last
from palpate.models.predict import Images, Progress, as_tensor, choose_device, predict_logits
from palpate.training.sampling import batches, class_counts, class_weights, draw, flip
from palpate.training.spec import TrainSpec


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


def fit(
    model: nn.Module,
    dataset: LabelledImages,
    spec: TrainSpec | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> History:
    """Train the model in place and leave it with the weights of its best validation epoch, or of the last where `spec.keep` says so.

    Args:
        model: from images (N, C, H, W) in [0, 1] to logits (N, K); a single one, above 0 for the second of two classes.
        dataset: its `train` and `val` splits are used; `test` is never touched.
        spec: how to train; `TrainSpec()` when absent.
        seed: decides order, sampling, augmentation and dropout. (The initial weights are the caller's.)
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        progress: called with the training images done, those in all, and a note.

    Returns:
        The history, one entry per epoch.

    Raises:
        InputError: a class is absent from training, there are no validation images, the weights hold NaN, or the loss stopped being a number.
    """
    spec = spec or TrainSpec()  # pyright: ignore[reportCallIssue]
    check_finite(model, "the model")
    target = choose_device(device)
    if not spec.epochs:
        model.eval()
        return History((), 0, stopped_early=False)
    labels = torch.as_tensor(np.asarray(dataset.train.labels), dtype=torch.long)
    counts = class_counts(labels, dataset.classes)
    if len(dataset.val) == 0:
        raise InputError("val must hold images, given none: early stopping needs them; raise val_images")
    fabric = Fabric(accelerator=target.type, devices=[target.index or 0] if target.type == "cuda" else 1)
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        torch.manual_seed(seed)
        training = _Training(fabric, model, dataset, spec, labels, counts, seed)
        return training.run(progress)


class _Training:
    """One training: what its epochs share."""

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        dataset: LabelledImages,
        spec: TrainSpec,
        labels: Tensor,
        counts: Tensor,
        seed: int,
    ) -> None:
        example = as_tensor(dataset.train.images[:2]).to(fabric.device)
        use_channels_last(model.to(fabric.device), example)
        self.fabric, self.model, self.dataset, self.spec = fabric, model, dataset, spec
        self.classifier = as_logits_model(model)  # a single logit as two
        self.labels, self.counts = labels, counts
        self.val_labels = torch.as_tensor(np.asarray(dataset.val.labels), dtype=torch.long)
        self.generator = torch.Generator().manual_seed(seed)
        self.per_epoch = max(1, round(spec.epoch_fraction * len(labels)))  # images
        model.train()
        self.wrapped, self.optimizer = fabric.setup(self.classifier, _optimizer(model, spec))
        self.weights = fabric.to_device(class_weights(counts, spec.class_weights, dataset.classes))
        self.schedule = None
        if spec.schedule == "one-cycle":
            steps = spec.epochs * len(list(batches(torch.arange(self.per_epoch), spec.batch_size)))
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer.optimizer, spec.learning_rate, total_steps=steps
            )

    def run(self, progress: Progress | None) -> History:
        """Train epoch by epoch, stop when the validation no longer improves, and leave the kept weights in the model."""
        spec, epochs = self.spec, []
        best_score, best_epoch, best_state = -math.inf, 0, {}
        for number in range(1, spec.epochs + 1):
            epochs.append(self._epoch(number, epochs, progress))
            balanced = spec.monitor == "val_balanced_accuracy"
            score = epochs[-1].val_balanced_accuracy if balanced else -epochs[-1].val_loss
            if score > best_score + (spec.min_delta if best_epoch else 0):
                best_score, best_epoch = score, number
                best_state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            if number - best_epoch >= spec.patience:
                break
        if not best_state:
            raise InputError(
                f"training gave no usable epoch: the validation loss is not a number, learning_rate {spec.learning_rate:g}"
            )
        if spec.keep == "best":
            self.model.load_state_dict(best_state)
        if spec.batch_norm == "recalibrated":
            order = torch.randperm(len(self.labels), generator=self.generator)
            update_bn((self._images(chosen) for chosen in batches(order, spec.batch_size)), self.model)
        self.model.eval()
        if isinstance(self.model, Classifier):
            self.model.trained = True
        kept = best_epoch if spec.keep == "best" else len(epochs)
        return History(tuple(epochs), kept, stopped_early=len(epochs) < spec.epochs)

    def _epoch(self, number: int, before: list[Epoch], progress: Progress | None) -> Epoch:
        """Train on the epoch's images once, then validate."""
        start, spec = time.monotonic(), self.spec
        loss_sum, right, seen = 0.0, 0, 0
        order = draw(self.labels, self.counts, self.per_epoch, spec.sampling, self.generator)
        for chosen in batches(order, spec.batch_size):
            loss, correct = self._step(chosen)
            loss_sum, right, seen = loss_sum + loss * len(chosen), right + correct, seen + len(chosen)
            if not math.isfinite(loss_sum):
                raise InputError(
                    f"training diverged in epoch {number}: the loss is no longer a number; "
                    f"learning_rate must be lower, given {spec.learning_rate:g}"
                )
            if progress:
                done = (number - 1) * self.per_epoch + seen
                progress(done, spec.epochs * self.per_epoch, _note(before))
        logits = predict_logits(self.classifier, self.dataset.val.images)
        predicted = logits.argmax(1)
        return Epoch(
            epoch=number,
            train_loss=loss_sum / seen,
            train_accuracy=right / seen,
            val_loss=F.cross_entropy(logits, self.val_labels).item(),
            val_accuracy=(predicted == self.val_labels).float().mean().item(),
            val_balanced_accuracy=_balanced_accuracy(predicted, self.val_labels),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            seconds=time.monotonic() - start,
            passes=(before[-1].passes if before else 0) + seen,
        )

    def _step(self, chosen: Tensor) -> tuple[float, int]:
        """One step of the optimizer on the images chosen by index (n,): the mean loss and how many were right."""
        images, labels = self._images(chosen, self.spec.augment), self.fabric.to_device(self.labels[chosen])
        if attack := self.spec.adversarial:
            radius = torch.full((len(images),), attack.epsilon, dtype=torch.float64, device=images.device)
            start = random_start(images, radius, self.generator)
            images = pgd(self.classifier, images, labels, radius, steps=attack.steps, start=start)
        logits = self.wrapped(images)
        loss = F.cross_entropy(logits, labels, weight=self.weights, reduction="none").mean()
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()
        return loss.item(), int((logits.argmax(1) == labels).sum())

    def _images(self, chosen: Tensor, augment: str = "none") -> Tensor:
        images = as_tensor(self.dataset.train.images[chosen.numpy()])
        return self.fabric.to_device(flip(images, self.generator) if augment == "flips" else images)


def _optimizer(model: nn.Module, spec: TrainSpec) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = spec.learning_rate, spec.weight_decay
    if spec.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=decay)
    kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, rate, eps=spec.adam_epsilon, weight_decay=decay)


def _balanced_accuracy(predictions: Tensor, labels: Tensor) -> float:
    recalls = [(predictions[labels == label] == label).float().mean() for label in labels.unique()]
    return torch.stack(recalls).mean().item()


def _note(epochs: list[Epoch]) -> str:
    return f"epoch {len(epochs) + 1}" + (
        f", val. loss {epochs[-1].val_loss:.3f}, balanced {epochs[-1].val_balanced_accuracy:.2f}" if epochs else ""
    )
