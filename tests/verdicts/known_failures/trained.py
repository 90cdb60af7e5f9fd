"""Images and trained networks that the examples share, each made once per seed.

Training is what costs, so a network is trained when an example first needs it and kept for the others.
"""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tests.verdicts.known_failures import networks
from tests.verdicts.known_failures.networks import Attentive, Cnn, Transformer, Winners, initialised
from torch import Tensor, nn
from torch.nn import functional as F

import palpate
from palpate.attacks.norms import random_start, seeded
from palpate.attacks.pgd import pgd
from palpate.data.synthetic.generate import generate

EPSILONS = tuple(level / 255 for level in (1, 2, 4, 8, 16))
TESTED = 64


def real_folder() -> Path | None:
    """The folder that holds PneumoniaMNIST, if there is one."""
    folder = Path(os.environ.get("PALPATE_DATA") or Path(__file__).parents[4] / "shared" / "data")
    return folder if (folder / "medmnist" / "pneumoniamnist.npz").is_file() else None


class Trained:
    """Images, labels and networks of one seed.

    Args:
        seed: of every first weight and every order; the images are the same for all seeds.
        source: "pneumoniamnist" (28 px, needs the real images) or "skin" (synthetic, 28 px, needs nothing).
        train_images: how many to learn from.
        epochs: of an ordinary training.
    """

    def __init__(self, seed: int, source: str = "skin", train_images: int = 1500, epochs: int = 8) -> None:
        self.seed, self.epochs = seed, epochs
        self.train_x, self.train_y, self.x, self.y = _images(source, train_images)

    @cached_property
    def plain(self) -> nn.Module:
        return self.learn(lambda: Cnn())

    @cached_property
    def sibling(self) -> nn.Module:
        """The plain network from another seed."""
        return self.learn(lambda: Cnn(), offset=1000)

    @cached_property
    def smooth(self) -> nn.Module:
        return self.learn(lambda: Cnn(activation=nn.SiLU))

    @cached_property
    def weak(self) -> nn.Module:
        """A network that has hardly begun to learn."""
        return self.learn(lambda: Cnn(), epochs=max(2, self.epochs // 3))

    @cached_property
    def attentive(self) -> nn.Module:
        return self.learn(Attentive)

    @cached_property
    def transformer(self) -> nn.Module:
        return self.learn(lambda: Transformer(self.x.shape[-1]), rate=2e-3)

    @cached_property
    def winners(self) -> nn.Module:
        return self.learn(lambda: Cnn(activation=Winners))

    @cached_property
    def one_logit(self) -> nn.Module:
        return self.learn(
            lambda: Cnn(1), loss=lambda net, x, y: F.binary_cross_entropy_with_logits(net(x)[:, 0], y.float())
        )

    @cached_property
    def bytes(self) -> nn.Module:
        """A network that learned from images in [0, 255]."""
        return self.learn(lambda: Cnn(), loss=lambda net, x, y: F.cross_entropy(net(255 * x), y))

    @cached_property
    def distilled(self) -> nn.Module:
        """Trained at temperature 100, used at 1 (Papernot et al. 2016, arXiv 1511.04508)."""
        return self.learn(lambda: Cnn(), loss=lambda net, x, y: F.cross_entropy(net(x) / 100, y), rate=2e-2)

    @cached_property
    def adversarial(self) -> nn.Module:
        """Trained on PGD images (Madry et al. 2018): ε 4/255, three steps, the plain network as a start."""

        def loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            net.eval()
            radius = torch.full((len(x),), 4 / 255, dtype=torch.float64)
            start = random_start(x, radius, [seeded(self.seed, 0, 0)] * len(x))
            attacked = pgd(net, x, y, radius, steps=3, start=start)
            net.train()
            return F.cross_entropy(net(attacked), y)

        start = networks.copied(self.plain).requires_grad_(True)
        return networks.train(start, self.train_x, self.train_y, self.seed, max(2, self.epochs // 2), loss, 3e-3)

    def learn(
        self,
        make: Callable[[], nn.Module],
        offset: int = 0,
        epochs: int | None = None,
        loss: networks.Step | None = None,
        rate: float = 5e-3,
    ) -> nn.Module:
        """A network trained from the seed."""
        seed = self.seed + offset
        return networks.train(
            initialised(seed, make), self.train_x, self.train_y, seed, epochs or self.epochs, loss, rate
        )


_KEPT: dict[tuple[str, int], tuple[Tensor, Tensor, Tensor, Tensor]] = {}


def _images(source: str, train_images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, then tested ones of both classes in equal numbers."""
    key = (source, train_images)
    if key not in _KEPT:
        if source == "skin":
            train, test = generate("skin", train_images, 28, seed=0), generate("skin", 120, 28, seed=1)
            parts = (_tensor(train.images), train.labels, _tensor(test.images), test.labels)
        else:
            data = palpate.load("pneumoniamnist", root=real_folder(), size=28)
            chosen = np.arange(min(train_images, len(data.train)))
            parts = (
                data.train.images[chosen],
                data.train.labels[chosen],
                data.test.images[np.arange(len(data.test))],
                data.test.labels,
            )
        train_x, train_y, test_x, test_y = parts
        half = [np.flatnonzero(np.asarray(test_y) == label)[: TESTED // 2] for label in (0, 1)]
        places = torch.from_numpy(np.sort(np.concatenate(half)))
        labels = torch.as_tensor(np.asarray(test_y)).long()[places]
        _KEPT[key] = (train_x, torch.as_tensor(np.asarray(train_y)).long(), test_x[places], labels)
    return _KEPT[key]


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()
