"""The networks the benchmark attacks: small, trained here in seconds, one of each kind that makes attacks differ.

An attack is only known by what it does to models that resist in different ways, so each task gets four: undefended, with
soft attention, adversarially trained (Madry), and undefended with its head scaled so that cross-entropy saturates
("masked"). Everything is cached, since training costs more than attacking.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

NAMES = {2: "PneumoniaMNIST, 28 px", 7: "HAM10000, 32 px", 10: "scikit-learn's digits, 28 px"}
KINDS = ("undefended", "attention", "trained", "masked")
EPSILONS = {
    2: 0.064,
    7: 0.032,
    10: 0.256,
}  # the largest of the eight epsilons, each half the next, per number of classes
TRAINING_EPSILON = {2: 0.03, 7: 0.01, 10: 0.1}


class Block(nn.Module):
    """A residual block: two 3×3 convolutions with batch norm, the shortcut a 1×1 convolution where the shape changes."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Attention(nn.Module):
    """Soft attention with 16 heads: A = Σ_heads softmax over positions, output [x, A ⊙ x]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(width, 16, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.relu(self.score(x))  # (N, 16, H, W)
        weights = logits.flatten(2).softmax(2).sum(1).view(len(x), 1, *x.shape[2:])
        return torch.cat([x, weights * x], 1)


class Net(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to logits (N, K), stride 4 before the head."""

    def __init__(self, classes: int, attention: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 1 if attention else 2))
        self.attention = Attention(64) if attention else nn.Identity()
        self.head = nn.Linear(128 if attention else 64, classes)
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(self.body(self.stem((x - 0.5) / 0.25))).mean((2, 3))) * self.scale


def _pneumonia(root: Path) -> dict[str, tuple[Tensor, Tensor]]:
    file = np.load(root / "medmnist" / "pneumoniamnist.npz")
    return {
        split: (torch.from_numpy(file[f"{split}_images"] / np.float32(255))[:, None].expand(-1, 3, -1, -1).contiguous(),
                torch.from_numpy(file[f"{split}_labels"][:, 0].astype(np.int64)))
        for split in ("train", "test")
    }  # fmt: skip


def _skin(root: Path) -> dict[str, tuple[Tensor, Tensor]]:
    import cv2

    names = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    with (root / "ham10000" / "HAM10000_metadata.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image_id"])
    lesions = sorted({row["lesion_id"] for row in rows})
    held = set(np.random.default_rng(0).permutation(lesions)[: len(lesions) // 5])
    parts = {path.stem: path for path in (root / "ham10000").glob("HAM10000_images_part_*/*.jpg")}
    images, labels, test = [], [], []
    for row in rows:
        image = cv2.imread(str(parts[row["image_id"]]), cv2.IMREAD_COLOR)
        assert image is not None, row["image_id"]
        images.append(cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
        labels.append(names.index(row["dx"]))
        test.append(row["lesion_id"] in held)
    x = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2) / np.float32(255))
    y, held_out = torch.tensor(labels), torch.tensor(test)
    return {"train": (x[~held_out], y[~held_out]), "test": (x[held_out], y[held_out])}


def _digits() -> dict[str, tuple[Tensor, Tensor]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.images.astype(np.float32) / 16)[:, None]
    x = nn.functional.interpolate(x, size=28, mode="bilinear").clamp(0, 1).expand(-1, 3, -1, -1).contiguous()
    y = torch.from_numpy(digits.target.astype(np.int64))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return {"train": (x[order[:1200]], y[order[:1200]]), "test": (x[order[1200:]], y[order[1200:]])}


def _synthetic() -> dict[str, tuple[Tensor, Tensor]]:
    from palpate.data.synthetic.generate import generate

    made = generate("skin", 2400, 28, seed=0)
    x = torch.from_numpy(made.images.transpose(0, 3, 1, 2) / np.float32(255)).contiguous()
    y = torch.from_numpy(made.labels)
    held = torch.from_numpy(np.isin(made.groups, np.unique(made.groups)[::5]))  # a fifth of the patients
    return {"train": (x[~held], y[~held]), "test": (x[held], y[held])}


def task(classes: int, root: Path, cache: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """The images of the task with that many classes; for two, synthetic images where PneumoniaMNIST is absent."""
    if classes == 2 and not (root / "medmnist" / "pneumoniamnist.npz").exists():
        NAMES[2] = "synthetic skin, 28 px"
        return _synthetic()
    if classes == 7 and not (root / "ham10000").exists():
        raise SystemExit(
            f"{root}: holds no ham10000 folder, which K = 7 needs; name it in PALPATE_DATA or use --classes 2 10"
        )
    file = cache / f"task-{classes}.pt"
    if not file.exists():
        torch.save({2: lambda: _pneumonia(root), 7: lambda: _skin(root), 10: _digits}[classes](), file)
    return torch.load(file, weights_only=True)


def _fit(net: Net, x: Tensor, y: Tensor, epsilon: float, epochs: int, classes: int) -> None:
    counts = torch.bincount(y, minlength=classes).float()
    sampler = torch.Generator().manual_seed(1)
    weights = counts.clamp(min=1).rsqrt()[y]
    batch, steps = 64, epochs * (min(len(x), 4000) // 64)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        pick = torch.multinomial(weights, batch, replacement=True, generator=sampler)
        images, labels = x[pick], y[pick]
        if torch.rand((), generator=sampler) < 0.5 and classes != 10:
            images = images.flip(3)
        if epsilon:
            net.eval()
            delta = (torch.rand(images.shape, generator=sampler) * 2 - 1) * epsilon
            for _ in range(4):
                delta.requires_grad_(True)
                (gradient,) = torch.autograd.grad(
                    nn.functional.cross_entropy(net((images + delta).clamp(0, 1)), labels), delta
                )
                delta = (delta.detach() + epsilon / 2.5 * gradient.sign()).clamp(-epsilon, epsilon)
            images = (images + delta).clamp(0, 1)
            net.train()
        loss = nn.functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def network(classes: int, kind: str, data: dict[str, tuple[Tensor, Tensor]], cache: Path) -> Net:
    """The trained network of that kind, from the cache or trained now; evaluation mode, parameters as training leaves them."""
    net = Net(classes, attention=kind == "attention")
    stored = "undefended" if kind == "masked" else kind
    file = cache / f"net-{classes}-{stored}.pt"
    if not file.exists():
        torch.manual_seed(7)
        net = Net(classes, attention=kind == "attention")
        _fit(
            net.train(),
            *data["train"],
            TRAINING_EPSILON[classes] if kind == "trained" else 0.0,
            {2: 6, 7: 10, 10: 20}[classes],
            classes,
        )
        torch.save(net.state_dict(), file)
    net.load_state_dict(torch.load(file, weights_only=True))
    net.scale = 60.0 if kind == "masked" else 1.0
    return net.eval()
