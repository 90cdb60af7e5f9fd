"""Networks for the tests of attacks: linear ones whose exact radius is known, and a small convolutional one trained on the spot."""

import pytest
import torch
from torch import Tensor, nn

from palpate.attacks import precision


class Problem:
    """A model with images and labels that it gets right, mostly."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor) -> None:
        self.model, self.images, self.labels = model, images, labels


class Linear(Problem):
    """Logits W x with rows of very different length, on images far enough from the box; `radius` (N,) is exact."""

    def __init__(self, classes: int, count: int = 40, side: int = 8, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(classes)
        lengths = torch.logspace(0, 0.9, classes, dtype=torch.float64)[torch.randperm(classes, generator=generator)]
        weight = torch.randn(classes, 3 * side**2, generator=generator, dtype=torch.float64) * lengths[:, None]
        weight -= weight.mean(1, keepdim=True)  # else the mean brightness decides, and radii reach the box
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, classes, bias=False)).to(dtype).eval()
        assert isinstance(model[1], nn.Linear)
        model[1].weight.data.copy_(weight)
        images = torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64) * 0.4 + 0.3
        logits = images.flatten(1) @ weight.T
        labels = logits.argmax(1)
        gaps = logits.gather(1, labels[:, None]) - logits
        lengths = (weight[labels][:, None] - weight[None]).abs().sum(2)
        euclid = (weight[labels][:, None] - weight[None]).norm(dim=2)
        own = torch.arange(classes) == labels[:, None]
        self.distances = torch.where(own, float("inf"), gaps / lengths.clamp(min=1e-12))
        self.radius = self.distances.amin(1)
        self.radius_l2 = torch.where(own, float("inf"), gaps / euclid.clamp(min=1e-12)).amin(1)
        assert self.radius.max() < 0.2
        self.nearest = self.distances.argmin(1)
        self.runner_up = logits.masked_fill(own, -float("inf")).argmax(1)
        super().__init__(model, images.to(dtype), labels)


class Small(nn.Module):
    """A convolutional network with batch norm, small enough to train in a second."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, 2, 1)
        self.bn2 = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1((x - 0.5) / 0.25)))
        return self.head(torch.relu(self.bn2(self.conv2(x))).mean((2, 3)))


def draw(classes: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with a faint grating whose direction is the class (N, 3, 16, 16)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    angle = (labels.float() * torch.pi / classes)[:, None, None]
    place = torch.arange(16) / 16
    wave = (2 * torch.pi * 3 * (place * angle.cos() + place[:, None] * angle.sin()) + 6 * torch.rand(count, 1, 1)).sin()
    noise = torch.randn(count, 3, 16, 16, generator=generator) * 0.1
    return (0.5 + 0.12 * wave[:, None] + noise).clamp(0, 1), labels


def train(classes: int) -> Problem:
    with torch.random.fork_rng():
        torch.manual_seed(classes)
        model = Small(classes).train()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        images, labels = draw(classes, 512, 1)
        for step in range(60):
            part = torch.arange(64) + 64 * (step % 8)
            loss = nn.functional.cross_entropy(model(images[part]), labels[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        test_images, test_labels = draw(classes, 64, 2)
    return Problem(model.eval(), test_images, test_labels)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def linear2() -> Linear:
    return Linear(2)


@pytest.fixture(scope="session")
def linear7() -> Linear:
    return Linear(7)


@pytest.fixture(scope="session")
def two() -> Problem:
    return train(2)


@pytest.fixture(scope="session")
def five() -> Problem:
    return train(5)


@pytest.fixture
def opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    """No head is seen through, as in a network whose products cannot be watched."""
    monkeypatch.setattr(precision, "product_before_head", lambda *_: None)
