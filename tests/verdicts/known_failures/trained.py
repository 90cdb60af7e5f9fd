"""Trained networks that the examples share, each made once per seed.

Training is what costs, so a network is trained when an example first needs it and kept for the others.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from tests.verdicts.known_failures import networks
from tests.verdicts.known_failures.networks import (
    Attentive,
    Cnn,
    Cosine,
    Dense,
    Mixer,
    Pooled,
    Transformer,
    Winners,
    initialised,
)
from tests.verdicts.known_failures.tasks import task_of
from torch import Tensor, nn
from torch.nn import functional as F

from palpate.attacks.norms import random_start, seeded
from palpate.attacks.pgd import pgd


class Trained:
    """A task and networks of one seed.

    Args:
        seed: of every first weight and every order, and of which images are tested; those to learn from are the same for all seeds.
        source: a name of `tasks.TASKS`.
        train_images: how many to learn from.
        epochs: of an ordinary training.
    """

    def __init__(self, seed: int, source: str = "skin", train_images: int = 1000, epochs: int = 10) -> None:
        self.seed, self.source, self.epochs = seed, source, epochs
        self.task = task_of(source, train_images)
        tested = self.task.tested(seed)
        self.x, self.y, self.finding = self.task.x[tested], self.task.y[tested], self.task.finding

    def cnn(self, **settings: Any) -> nn.Module:
        """An untrained convolutional network for the task."""
        return Cnn(**{"outputs": self.task.classes, "inputs": self.x.shape[1]} | settings)

    @cached_property
    def plain(self) -> nn.Module:
        return self.learn(self.cnn)

    @cached_property
    def sibling(self) -> nn.Module:
        """The plain network from another seed."""
        return self.learn(self.cnn, offset=1000)

    @cached_property
    def third(self) -> nn.Module:
        """The plain network from a third seed."""
        return self.learn(self.cnn, offset=2000)

    @cached_property
    def smooth(self) -> nn.Module:
        return self.learn(lambda: self.cnn(activation=nn.SiLU))

    @cached_property
    def weak(self) -> nn.Module:
        """A network that has hardly begun to learn."""
        return self.learn(self.cnn, epochs=max(2, self.epochs // 3))

    @cached_property
    def attentive(self) -> nn.Module:
        return self.learn(lambda: Attentive(self.task.classes, self.x.shape[1]))

    @cached_property
    def transformer(self) -> nn.Module:
        return self.learn(lambda: Transformer(self.x.shape[-1], self.task.classes, self.x.shape[1]), rate=2e-3)

    @cached_property
    def dense(self) -> nn.Module:
        return self.learn(lambda: Dense(self.task.classes, self.x.shape[1]))

    @cached_property
    def mixer(self) -> nn.Module:
        return self.learn(lambda: Mixer(self.x.shape[-1], self.task.classes, self.x.shape[1]), rate=2e-3)

    @cached_property
    def pooled(self) -> nn.Module:
        return self.learn(lambda: Pooled(self.task.classes, self.x.shape[1]))

    @cached_property
    def cosine(self) -> nn.Module:
        return self.learn(lambda: Cosine(self.task.classes, self.x.shape[1]))

    @cached_property
    def linear(self) -> nn.Module:
        pixels = self.x[0].numel()
        return self.learn(lambda: nn.Sequential(nn.Flatten(), nn.Linear(pixels, self.task.classes)))

    @cached_property
    def begun(self) -> nn.Module:
        """A network after one epoch."""
        return self.learn(self.cnn, epochs=1)

    @cached_property
    def small_batches(self) -> nn.Module:
        """Batch norm that learned from batches of eight."""
        return self.learn(self.cnn, epochs=max(1, self.epochs // 3), batch=8)

    @cached_property
    def smoothed(self) -> nn.Module:
        """Trained with labels smoothed by .2."""

        def loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(net(x), y, label_smoothing=0.2) if y.ndim == 1 else self.loss(net(x), 0.8 * y + 0.1)

        return self.learn(self.cnn, loss=loss)

    @cached_property
    def noised(self) -> nn.Module:
        """Trained on images with Gaussian noise (Cohen et al. 2019, arXiv 1902.02918)."""
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(x + 0.1 * torch.randn_like(x)), y))

    @cached_property
    def winners(self) -> nn.Module:
        return self.learn(lambda: self.cnn(activation=Winners))

    @cached_property
    def one_logit(self) -> nn.Module:
        return self.learn(
            lambda: self.cnn(outputs=1),
            loss=lambda net, x, y: F.binary_cross_entropy_with_logits(net(x)[:, 0], y.float()),
        )

    @cached_property
    def bytes(self) -> nn.Module:
        """A network that learned from images in [0, 255]."""
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(255 * x), y))

    @cached_property
    def normalised(self) -> tuple[nn.Module, nn.Module]:
        """A network that learned from normalised images, and the step that normalises them."""
        mean, deviation = self.task.train_x.mean((0, 2, 3)), self.task.train_x.std((0, 2, 3))
        step = networks.Normalise(mean, deviation)
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(step(x)), y)), step

    @cached_property
    def distilled(self) -> nn.Module:
        """Trained at temperature 100, used at 1 (Papernot et al. 2016, arXiv 1511.04508)."""
        return self.learn(self.cnn, loss=lambda net, x, y: self.loss(net(x) / 100, y), rate=2e-2)

    @cached_property
    def adversarial(self) -> nn.Module:
        """Trained on PGD images (Madry et al. 2018): ε 4/255, three steps, the plain network as a start."""

        def loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            net.eval()
            radius = torch.full((len(x),), 4 / 255, dtype=torch.float64)
            start = random_start(x, radius, [seeded(self.seed, 0, 0)] * len(x))
            single = (
                None if y.ndim == 1 else lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none").sum(1)
            )
            settings = {} if single is None else {"loss": single}
            attacked = pgd(net, x, y, radius, steps=3, start=start, **settings)
            net.train()
            return self.loss(net(attacked), y)

        start = networks.copied(self.plain).requires_grad_(True)
        task = self.task
        return networks.train(start, task.train_x, task.train_y, self.seed, max(2, self.epochs // 2), loss, 3e-3)

    @staticmethod
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of classes, or of findings."""
        return (
            F.cross_entropy(logits, labels) if labels.ndim == 1 else F.binary_cross_entropy_with_logits(logits, labels)
        )

    def learn(
        self,
        make: Callable[[], nn.Module],
        offset: int = 0,
        epochs: int | None = None,
        loss: networks.Step | None = None,
        rate: float = 5e-3,
        batch: int = 64,
    ) -> nn.Module:
        """A network trained from the seed."""
        seed = self.seed + offset
        loss = loss or (lambda net, x, y: self.loss(net(x), y))
        made = initialised(seed, make)
        x, y = self.task.train_x, self.task.train_y
        return networks.train(made, x, y, seed, epochs or self.epochs, loss, rate, batch)
