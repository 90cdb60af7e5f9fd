"""Tiny networks and a loop that trains one in seconds: what the test networks are made of.

They are too small to be good, which does not matter: a check is about how a model answers an attack, and these answer in all the known ways.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolutions(inputs: int = 3, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Three convolutions, images (N, inputs, H, W) to maps (N, 16, H / 4, W / 4)."""
    return nn.Sequential(
        nn.Conv2d(inputs, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        activation(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        activation(),
        nn.Conv2d(16, 16, 3, 1, 1),
        nn.BatchNorm2d(16),
        activation(),
    )


class Cnn(nn.Module):
    """Images in [0, 1] to logits (N, outputs), with dropout before the dense layer."""

    def __init__(self, outputs: int = 2, activation: Callable[[], nn.Module] = nn.ReLU, inputs: int = 3) -> None:
        super().__init__()
        self.body = convolutions(inputs, activation)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Attentive(nn.Module):
    """The same with soft attention: four heads, each a softmax over positions, their sum scaling the map."""

    def __init__(self, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        self.body = convolutions(inputs)
        self.score = nn.Conv2d(16, 4, 3, 1, 1)
        self.dense = nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.body(x)  # (N, 16, h, w)
        weights = self.score(maps).relu().flatten(2).softmax(2).sum(1)  # (N, h · w)
        attended = (maps.flatten(2) * weights[:, None]).sum(2)
        return self.dense(torch.cat([maps.mean((2, 3)), attended], 1))


class Transformer(nn.Module):
    """A vision transformer: 4 px patches, two pre-norm blocks of width 32 with four heads."""

    def __init__(self, size: int, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(inputs, 32, 4, 4)
        self.place = nn.Parameter(0.02 * torch.randn(1, (size // 4) ** 2, 32))
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(5))
        self.mix = nn.ModuleList(nn.MultiheadAttention(32, 4, batch_first=True) for _ in range(2))
        self.think = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(2))
        self.dense = nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        z = self.patch(4 * x - 2).flatten(2).transpose(1, 2) + self.place  # (N, patches, 32)
        for block in range(2):
            given = self.norms[2 * block](z)
            z = z + self.mix[block](given, given, given, need_weights=False)[0]
            z = z + self.think[block](self.norms[2 * block + 1](z))
        return self.dense(self.norms[4](z).mean(1))


class Mixer(nn.Module):
    """An MLP-Mixer: 4 px patches of width 32, two blocks that mix patches and then channels; no batch norm."""

    def __init__(self, size: int, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        patches = (size // 4) ** 2
        self.patch = nn.Conv2d(inputs, 32, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(4))
        self.across = nn.ModuleList(
            nn.Sequential(nn.Linear(patches, 64), nn.GELU(), nn.Linear(64, patches)) for _ in range(2)
        )
        self.within = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(2))
        self.dense = nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        z = self.patch(4 * x - 2).flatten(2).transpose(1, 2)  # (N, patches, 32)
        for block in range(2):
            z = z + self.across[block](self.norms[2 * block](z).transpose(1, 2)).transpose(1, 2)
            z = z + self.within[block](self.norms[2 * block + 1](z))
        return self.dense(z.mean(1))


class Dense(nn.Module):
    """A small DenseNet: two blocks of four layers that each see all before them, halved between blocks."""

    def __init__(self, outputs: int = 2, inputs: int = 3, growth: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, 16, 3, 2, 1)
        width, blocks, halves = 16, [], []
        for block in range(2):
            layers = []
            for _ in range(4):
                layers.append(
                    nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, growth, 3, 1, 1, bias=False))
                )
                width += growth
            blocks.append(nn.ModuleList(layers))
            half = width // 2 if block < 1 else width
            halves.append(nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, half, 1, bias=False)))
            width = half
        self.blocks, self.halves = nn.ModuleList(blocks), nn.ModuleList(halves)
        self.dense = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        z = self.stem(x)
        for block, half in zip(self.blocks, self.halves, strict=True):
            for layer in block:  # pyright: ignore[reportGeneralTypeIssues]
                z = torch.cat([z, layer(z)], 1)
            z = F.avg_pool2d(half(z), 2)
        return self.dense(z.mean((2, 3)))


class Winners(nn.Module):
    """k-winners-take-all: the largest tenth of an image's activations pass, the others are zero (Xiao et al. 2020, arXiv 1905.10510)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        least = flat.topk(max(1, flat.shape[1] // 10), dim=1).values[:, -1:]
        return (flat * (flat >= least)).view_as(x)


class Normalise(nn.Module):
    """(x − mean) / deviation per channel."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("deviation", deviation[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


class Pooled(nn.Module):
    """Group norm, leaky units and max pooling instead of batch norm and steps of two."""

    def __init__(self, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((inputs, 8), (8, 16), (16, 32)):
            layers += [
                nn.Conv2d(before, after, 3, 1, 1),
                nn.GroupNorm(4, after),
                nn.LeakyReLU(0.1),
                nn.MaxPool2d(2),
            ]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 9, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Cosine(nn.Module):
    """Logits are ten cosines between features and classes, so they are bounded."""

    def __init__(self, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(convolutions(inputs), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.classes = nn.Parameter(torch.randn(outputs, 64))

    def forward(self, x: Tensor) -> Tensor:
        return 10 * F.linear(F.normalize(self.body(x) - 1, dim=1), F.normalize(self.classes, dim=1))


class Average(nn.Module):
    """Mean of the logits of several networks."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(copied(network) for network in networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(x) for network in self.networks]).mean(0)


class Plus(nn.Module):
    """Logits plus a number, which changes no decision."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, z: Tensor) -> Tensor:
        return z + self.offset


class LessMean(nn.Module):
    """Logits less their mean over the classes, which changes no decision."""

    def forward(self, z: Tensor) -> Tensor:
        return z - z.mean(1, keepdim=True)


class Residual(nn.Module):
    """Three residual blocks that are left out at random in training, and, with `always`, afterwards too (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, outputs: int = 2, inputs: int = 3) -> None:
        super().__init__()
        self.stem, self.always = convolutions(inputs), False
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(3)
        )
        self.dense = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            random = self.training or self.always
            kept = (torch.rand(len(x), 1, 1, 1) > 0.3).to(x) / 0.7 if random else 1.0
            x = x + kept * block(x)
        return self.dense(F.adaptive_avg_pool2d(x, 2).flatten(1))


Step = Callable[[nn.Module, Tensor, Tensor], Tensor]


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    seed: int,
    epochs: int,
    loss: Step,
    rate: float = 5e-3,
    batch: int = 64,
) -> nn.Module:
    """AdamW, one cycle; gives the model in evaluation mode with frozen parameters."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-3)
    batches = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * batches)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(epochs):
            model.train()
            order = torch.randperm(len(images), generator=generator)
            for place in range(batches):
                chosen = order[batch * place : batch * (place + 1)]
                value = loss(model, images[chosen], labels[chosen])
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                schedule.step()
    return model.eval().requires_grad_(False)


def initialised(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def copied(model: nn.Module) -> nn.Module:
    """A model of its own, which an example may change."""
    return copy.deepcopy(model)
