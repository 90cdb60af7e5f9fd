"""The published reference: the real Foolbox `LinfPGD`, bit for bit, over a list of epsilons.

It is what everything else is measured against, and nothing more: it restarts at every epsilon and keeps attacking images that have been fooled (41
forward and 40 backward passes per image and epsilon). Foolbox draws its random starts from torch's global generator, so its numbers depend on the
seed, on the order of the images and on the batches; seed and batch size are settings, and the generator's state is handed back untouched.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.losses import cross_entropy, unusable
from palpate.attacks.problem import Problem
from palpate.attacks.result import Sweep
from palpate.attacks.spec import Attack
from palpate.attacks.validation import check_images
from palpate.core.errors import InputError
from palpate.core.registry import ATTACKS
from palpate.models.generators import generator_states, restore_generators
from palpate.models.predict import as_tensor, predict_logits

RELATIVE_STEP = 0.01 / 0.3
"""Foolbox's default: a step of epsilon / 30."""


@ATTACKS.register("foolbox-pgd")
class FoolboxPGD(Attack):
    """Foolbox's LinfPGD: random start, cross-entropy, step epsilon / 30, last iterate, at each epsilon.

    An image's radius is the smallest epsilon at which it was fooled. Its image at each epsilon is kept, whether it fools or not.
    """

    kind: ClassVar[str] = "foolbox-pgd"
    takes_targets: ClassVar[bool] = False
    every_epsilon: ClassVar[bool] = True

    norm: Literal["linf"] = "linf"
    channels: Literal["free"] = "free"
    steps: int = Field(40, ge=1, description="PGD steps per epsilon")
    seed: int = Field(0, ge=0, description="of torch's global generator, once, before the first batch")
    batch_size: int = Field(64, ge=1, description="images per call of Foolbox, on which the draws depend")

    def run(self, problem: Problem) -> Iterator[Sweep]:
        """Attack batch after batch, with the generator continued: equal to direct calls of Foolbox on these batches in their order."""
        library = _foolbox()
        if problem.batch_size:
            raise InputError(
                "batch_size is a setting of foolbox-pgd itself, because its draws depend on it; "
                f"give attack=FoolboxPGD(batch_size={problem.batch_size})"
            )
        model, count, device = problem.model, len(problem.images), problem.example.device
        attack = library.attacks.LinfPGD(rel_stepsize=RELATIVE_STEP, steps=self.steps, random_start=True)
        reference = library.PyTorchModel(model, bounds=(0, 1), device=device)
        cuda = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.seed)
            states = problem.carry.get("generators") or generator_states(device)
        for start in range(problem.start, count, self.batch_size):
            place = slice(start, min(start + self.batch_size, count))
            images = check_images(as_tensor(problem.images[place]), start).cpu()
            labels = problem.labels[place]
            hook = model.register_forward_hook(_teller(problem, place, len(problem.epsilons) * (self.steps + 1)))
            try:
                with torch.random.fork_rng(devices=cuda):
                    restore_generators(states, device)
                    _, clipped, _ = attack(
                        reference, images.to(device), labels.to(device), epsilons=list(problem.epsilons)
                    )
                    states = problem.carry["generators"] = generator_states(device)
            finally:
                hook.remove()
            yield self._judged(problem, images, labels, torch.stack([points.detach().cpu() for points in clipped]))

    def _judged(self, problem: Problem, images: Tensor, labels: Tensor, adversarial: Tensor) -> Sweep:
        """The sweep of a batch: Foolbox's own answer is not used, its images (E, n, C, H, W) are predicted again."""
        clean = predict_logits(problem.model, images, self.batch_size)
        radius = torch.where(clean.argmax(1) == labels, float("inf"), 0.0).double()
        failed, best, fooled = unusable(clean), images.clone(), []
        for epsilon, points in zip(problem.epsilons, adversarial, strict=True):
            logits = predict_logits(problem.model, points, self.batch_size)
            failed |= unusable(logits)
            fooled.append(logits.argmax(1) != labels)
            first = fooled[-1] & radius.isinf()
            radius[first], best[first] = epsilon, points[first]
        kept = (best, adversarial) if problem.keep == "all" else (None, None)
        blind = _blind(problem, images, labels) & radius.isinf() & ~failed
        radius = torch.where(failed | blind, float("nan"), radius)
        levels, pairs = len(problem.epsilons), zip(failed.tolist(), blind.tolist(), strict=True)
        status = tuple("failed" if bad else "no gradient" if unseen else "ok" for bad, unseen in pairs)
        passes = torch.tensor([levels * (self.steps + 1), levels * self.steps]).repeat(len(images), 1)
        return Sweep(
            radius, labels, problem.epsilons, passes, status, images, *kept, "linf", self.how, problem.classes,
            fooled=torch.stack(fooled),
        )  # fmt: skip


def _blind(problem: Problem, images: Tensor, labels: Tensor) -> Tensor:
    """Images (n,) whose gradient is not a number, so that Foolbox, which takes the sign of one for 0, stays at its random start."""
    access, device = ModelAccess(problem.model), problem.example.device
    access.begin(len(images))
    access.gradient(images.to(device), cross_entropy, labels.to(device))
    return access.blind


def _foolbox() -> Any:
    try:
        import foolbox
    except ImportError:
        raise InputError(
            'attack "foolbox-pgd" needs Foolbox, which is not installed; pip install "palpate[foolbox]"'
        ) from None
    return foolbox


def _teller(problem: Problem, place: slice, passes: int) -> Any:
    """A hook of the model that reports its share of the batch's images with each forward pass, of which every image has so many."""
    done, told = 0, problem.progress

    def tell(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal done
        done += len(output)
        if told:
            told(place.start + min(done // passes, place.stop - place.start), len(problem.images), "Foolbox LinfPGD")

    return tell
