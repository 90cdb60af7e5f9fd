"""Train a classifier: one plain loop with class weights and early stopping, which keeps the best validation epoch or the last.

Lightning Fabric puts model and batches on the device; everything else is in sight here.
"""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from palpate.attacks.norms import random_start
from palpate.attacks.pgd import pgd
from palpate.core.errors import InputError
from palpate.models.adapt import as_logits_model, use_channels_last
from palpate.models.checkpoint import check_finite
from palpate.models.classifier import Classifier
from palpate.models.generators import generator_states, restore_generators
from palpate.models.predict import Chosen, Images, Progress, as_tensor, choose_device, predict_logits
from palpate.models.resume import Resume
from palpate.training.history import Epoch, History, Hooks, LabelledImages
from palpate.training.objective import accuracy, balanced_accuracy, loss, loss_weights, make_optimizer
from palpate.training.parallel import check_devices, gathered, launch, several
from palpate.training.sampling import batches, draw, flip, flips
from palpate.training.spec import TrainSpec


def fit(
    model: nn.Module,
    dataset: LabelledImages,
    spec: TrainSpec | None = None,
    seed: int = 0,
    device: str = "auto",
    *,
    devices: int = 1,
    progress: Progress | None = None,
    resume: Resume | None = None,
    log: Callable[[Epoch], None] | None = None,
) -> History:
    """Train the model in place and leave it with the weights of its best validation epoch, or of the last where `spec.keep` says so.

    Args:
        model: from images (N, C, H, W) in [0, 1] to logits (N, K); a single one, above 0 for the second of two classes; of several findings
            one for each, above 0 where it is present.
        dataset: its `train` and `val` splits are used; `test` is never touched. Labels of findings that are unknown (−1) count nowhere.
        spec: how to train; `TrainSpec()` when absent.
        seed: decides order, sampling, augmentation and dropout. (The initial weights are the caller's.)
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        devices: GPUs that share every batch (of the kind of `device`, from the first on), or processes on the CPU. Batch norm's statistics are those
            of the whole batch on GPUs, and of each process's share on the CPU.
        progress: called with the training images done, those in all, and a note; not with several devices.
        log: called with each epoch when it is over.
        resume: where the state is kept after an epoch and looked for at the start; nowhere when absent.

    Returns:
        The history, one entry per epoch.

    Raises:
        InputError: the model has not one logit per class, a class is absent from training, there are no validation images, the weights hold NaN,
            the loss stopped being a number, or there are fewer devices.
    """
    spec = spec or TrainSpec()  # pyright: ignore[reportCallIssue]
    check_finite(model, "the model")
    target = choose_device(device)
    check_devices(target, devices)
    if not spec.epochs:
        model.eval()
        return History((), 0, stopped_early=False)
    _weights(dataset, spec)  # raises where a class has no image
    if len(dataset.val) == 0:
        raise InputError("val must hold images, given none: early stopping needs them; raise val_images")
    columns = predict_logits(as_logits_model(model), dataset.train.images[:2]).shape[1]
    if columns != len(dataset.classes):
        named = f"{len(dataset.classes)} classes ({', '.join(dataset.classes)})"
        raise InputError(f"model gives {columns} logits, and the data set has {named}; build one with as many")
    hooks = Hooks(progress, resume, log)
    if devices > 1:
        fabric = several(target, devices, spec)
        quiet = dataclasses.replace(hooks, progress=None)
        history, state = launch(fabric, _train_share, model, dataset, spec, seed, quiet)
        model.load_state_dict(load(state))
        epochs = tuple(Epoch(**epoch) for epoch in history["epochs"])
        return _finished(model, History(epochs, history["best_epoch"], history["stopped_early"]))
    one = [target.index or 0] if target.type == "cuda" else 1
    fabric = Fabric(accelerator=target.type, devices=one, precision=spec.precision or "32-true")
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        torch.manual_seed(seed)
        history = _Training(fabric, model, dataset, spec, seed).run(hooks)
        return _finished(model, history)


def _train_share(
    fabric: Fabric, model: nn.Module, dataset: LabelledImages, spec: TrainSpec, seed: int, hooks: Hooks
) -> tuple[dict[str, Any], bytes]:
    """Be one of several processes that train together: the history as a dict and the weights as bytes, which Fabric can send."""
    torch.manual_seed(seed)
    model = copy.deepcopy(model)  # its weights lie in memory that the processes share
    if fabric.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    own = hooks if fabric.global_rank == 0 else Hooks(resume=hooks.resume)
    history = _Training(fabric, model, dataset, spec, seed).run(own)
    weights = {name: tensor.cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    return dataclasses.asdict(history), save(weights)  # tensors would end with their process


def _finished(model: nn.Module, history: History) -> History:
    model.eval()
    if isinstance(model, Classifier):
        model.trained = True
    return history


class _Training:
    """One training: what its epochs share."""

    def __init__(self, fabric: Fabric, model: nn.Module, dataset: LabelledImages, spec: TrainSpec, seed: int) -> None:
        labels = torch.as_tensor(np.asarray(dataset.train.labels), dtype=torch.long)
        example = as_tensor(dataset.train.images[:2]).to(fabric.device)
        use_channels_last(model.to(fabric.device), example)
        self.fabric, self.model, self.dataset, self.spec = fabric, model, dataset, spec
        self.classifier = as_logits_model(model)  # a single logit as two
        self.labels, self.weights = labels, fabric.to_device(_weights(dataset, spec))
        self.val_labels = torch.as_tensor(np.asarray(dataset.val.labels), dtype=torch.long)
        self.generator = torch.Generator().manual_seed(seed)  # equal in all processes
        self.own = self.generator  # of what a process draws for its share of a batch
        if fabric.world_size > 1:
            self.own = torch.Generator().manual_seed(seed + fabric.global_rank)
        self.per_epoch = max(1, round(spec.epoch_fraction * len(labels)))  # images
        model.train()
        self.wrapped, self.optimizer = fabric.setup(self.classifier, make_optimizer(model, spec))
        self.schedule = None
        if spec.schedule == "one-cycle":
            steps = spec.epochs * len(list(self._batches(torch.arange(self.per_epoch))))
            cycle = torch.optim.lr_scheduler.OneCycleLR
            self.schedule = cycle(self.optimizer.optimizer, spec.learning_rate, total_steps=steps)

    def _batches(self, order: Tensor) -> Iterator[Tensor]:
        """The batches of an epoch; with several processes those of which each gets at least two images."""
        least = 2 * self.fabric.world_size if self.fabric.world_size > 1 else 0
        return (batch for batch in batches(order, self.spec.batch_size) if len(batch) >= least)

    def run(self, hooks: Hooks) -> History:
        """Train epoch by epoch, stop when the validation no longer improves, and leave the kept weights in the model."""
        spec, epochs, resume = self.spec, [], hooks.resume
        best_score, best_epoch, best_state = -math.inf, 0, {}
        if resume and (state := resume.load()):
            self._restore(state)
            epochs = [Epoch(**epoch) for epoch in state["epochs"]]
            best_score, best_epoch, best_state = state["best"]
        while len(epochs) < spec.epochs and len(epochs) - best_epoch < spec.patience:
            epochs.append(self._epoch(len(epochs) + 1, epochs, hooks.progress))
            if hooks.log:
                hooks.log(epochs[-1])
            balanced = spec.monitor == "val_balanced_accuracy"
            score = epochs[-1].val_balanced_accuracy if balanced else -epochs[-1].val_loss
            if score > best_score + (spec.min_delta if best_epoch else 0):
                best_score, best_epoch = score, len(epochs)
                best_state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            if resume and self.fabric.global_rank == 0 and resume.due():
                done = {"epochs": list(map(dataclasses.asdict, epochs)), "best": (best_score, best_epoch, best_state)}
                resume.save(len(epochs), self._state() | done)
        if not best_state:
            fault = f"the validation loss is not a number, learning_rate {spec.learning_rate:g}"
            raise InputError(f"training gave no usable epoch: {fault}")
        if spec.keep == "best":
            self.model.load_state_dict(best_state)
        if spec.batch_norm == "recalibrated":
            order = torch.randperm(len(self.labels), generator=self.generator)
            update_bn((self._images(chosen) for chosen in batches(order, spec.batch_size)), self.model)
        kept = best_epoch if spec.keep == "best" else len(epochs)
        return History(tuple(epochs), kept, stopped_early=len(epochs) < spec.epochs)

    def _state(self) -> dict[str, Any]:
        """All that decides what the next epoch does."""
        state = {"model": dict(self.model.state_dict()), "optimizer": self.optimizer.optimizer.state_dict()}
        state["schedule"] = self.schedule.state_dict() if self.schedule else None
        return state | {"draws": self.generator.get_state(), "generators": generator_states(self.fabric.device)}

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["draws"])
        restore_generators(state["generators"], self.fabric.device)

    def _epoch(self, number: int, before: list[Epoch], progress: Progress | None) -> Epoch:
        """Train on the epoch's images once, then validate."""
        start, spec = time.monotonic(), self.spec
        loss_sum, right, seen = 0.0, 0.0, 0
        order = draw(self.labels, self.per_epoch, spec.sampling, self.generator)
        for chosen in self._batches(order):
            mean, correct = self._step(chosen)
            loss_sum, right, seen = loss_sum + mean * len(chosen), right + correct, seen + len(chosen)
            if not math.isfinite(loss_sum):
                remedy = f"learning_rate must be lower, given {spec.learning_rate:g}"
                raise InputError(f"training diverged in epoch {number}: the loss is no longer a number; {remedy}")
            if progress:
                done = (number - 1) * self.per_epoch + seen
                progress(done, spec.epochs * self.per_epoch, _note(before))
        logits, labels = self._predict(self.dataset.val.images), self.val_labels
        judged = loss(logits, labels).item(), accuracy(logits, labels), balanced_accuracy(logits, labels)
        rate, passes = self.optimizer.param_groups[0]["lr"], (before[-1].passes if before else 0) + seen
        return Epoch(number, loss_sum / seen, right / seen, *judged, rate, time.monotonic() - start, passes)

    def _step(self, chosen: Tensor) -> tuple[float, float]:
        """One step of the optimizer on the images chosen by index (n,): the mean loss and how many were right, of all processes together."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        images = self._images(chosen, self.spec.augment)
        labels = self.fabric.to_device(self.labels[chosen[rank::world]])
        if attack := self.spec.adversarial:
            radius = torch.full((len(images),), attack.epsilon, dtype=torch.float64, device=images.device)
            start = random_start(images, radius, self.own)
            images = pgd(self.classifier, images, labels, radius, steps=attack.steps, start=start)
        logits = self.wrapped(images)
        # Gradients are the mean over the processes, whose shares may differ by an image.
        share = len(labels) * world / len(chosen)
        mean = loss(logits.float(), labels, self.weights) * share
        self.optimizer.zero_grad()
        self.fabric.backward(mean)
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()
        right = accuracy(logits.detach(), labels) * len(labels)
        if world == 1:
            return mean.item(), right
        told = torch.stack([mean.detach().double(), mean.new_tensor(right * world, dtype=torch.float64)])
        both = self.fabric.all_reduce(told, reduce_op="mean")
        return both[0].item(), both[1].item()

    def _images(self, chosen: Tensor, augment: str = "none") -> Tensor:
        """This process's share of the images chosen (n,), each turned as it would be if there were no other process."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        images = as_tensor(self.dataset.train.images[chosen[rank::world].numpy()])
        if augment == "flips":
            images = flip(images, flips(len(chosen), self.generator)[:, rank::world])
        return self.fabric.to_device(images)

    def _predict(self, images: Images) -> Tensor:
        """Logits (N, K) of images, of which each process predicts its share."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        if world == 1:
            return predict_logits(self.classifier, images)
        size = -(-len(images) // world)
        share = range(rank * size, min((rank + 1) * size, len(images)))
        mine = predict_logits(self.classifier, Chosen(images, share)) if share else torch.empty(0)
        return torch.cat([part for part in gathered(mine) if len(part)])


def _weights(dataset: LabelledImages, spec: TrainSpec) -> Tensor:
    labels = torch.as_tensor(np.asarray(dataset.train.labels), dtype=torch.long)
    return loss_weights(labels, dataset.classes, getattr(dataset, "findings", ()), spec)


def _note(epochs: list[Epoch]) -> str:
    return f"epoch {len(epochs) + 1}" + (
        f", val. loss {epochs[-1].val_loss:.3f}, balanced {epochs[-1].val_balanced_accuracy:.2f}" if epochs else ""
    )
