"""Fifteen networks of different architectures, trained here in minutes, with 200 test images and eight epsilons each.

    python benchmarks/networks.py                       # trains what the cache lacks; about 15 minutes on one quiet core
    python benchmarks/networks.py --cache FOLDER vit swin

An attack is only known by the networks it was tried on, so these differ in what makes attacks fail: depth, pooling, normalisation,
attention, smooth and discontinuous activations, and training against attacks. Weights are cached and never part of the repository.
"""

import argparse
import csv
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import architecture_zoo
import numpy as np
import sweep
import torch
from torch import Tensor, nn

TEST_IMAGES = 200
CLASSES = {"pneumonia": 2, "skin": 7, "digits": 10}
DATA = Path(os.environ.get("PALPATE_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
Split = tuple[Tensor, Tensor]
"""Images (N, C, H, W) uint8 and labels (N,) int64."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a network is, what it is trained on, and how."""

    build: Callable[[int, int, int], nn.Module]  # from channels, size and classes
    task: str
    size: int
    channels: int
    epochs: float
    rate: float = 2e-3
    loss: str = "plain"  # "plain", "adversarial" (Madry 2018), "trades" (Zhang 2019), "jacobian" (Hoffman 2019)
    epsilon: float = 0.0  # of training


zoo = architecture_zoo
RECIPES: dict[str, Recipe] = {
    "densenet121-monai": Recipe(zoo.densenet121_monai, "pneumonia", 28, 1, 3),
    "kwta": Recipe(zoo.kwta, "digits", 28, 1, 12, 3e-3),
    "vit": Recipe(zoo.vit, "pneumonia", 28, 1, 2),
    "cnn-adversarial": Recipe(zoo.cnn, "pneumonia", 28, 1, 2, 3e-3, "adversarial", 0.03),
    "cnn": Recipe(zoo.cnn, "skin", 32, 3, 4, 3e-3),
    "resnet18": Recipe(zoo.resnet18, "skin", 32, 3, 2),
    "mixer": Recipe(zoo.mixer, "digits", 28, 1, 15),
    "swin": Recipe(zoo.swin, "skin", 32, 3, 2.5),
    "convnext": Recipe(zoo.convnext, "digits", 28, 1, 12),
    "resnet50": Recipe(zoo.resnet50, "pneumonia", 28, 1, 2),
    "cnn-jacobian": Recipe(zoo.cnn, "pneumonia", 28, 1, 2, 3e-3, "jacobian"),
    "cnn-trades": Recipe(zoo.cnn, "digits", 28, 1, 6, 3e-3, "trades", 0.1),
    "mobilenetv3": Recipe(zoo.mobilenetv3, "skin", 64, 3, 2, 3e-3),
    "densenet121-timm": Recipe(zoo.densenet121_timm, "skin", 32, 3, 1),
    "efficientnet-lite0": Recipe(zoo.efficientnet_lite0, "skin", 64, 3, 0.3, 1e-3),
}


def _pneumonia() -> tuple[Split, Split]:
    file = np.load(DATA / "medmnist" / "pneumoniamnist.npz")
    return tuple(
        (
            torch.from_numpy(file[f"{split}_images"])[:, None],
            torch.from_numpy(file[f"{split}_labels"][:, 0].astype(np.int64)),
        )
        for split in ("train", "test")
    )  # type: ignore[return-value]


def _skin() -> tuple[Split, Split]:
    """HAM10000 at 64 px, a fifth of the lesions held out."""
    import cv2

    names = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    with (DATA / "ham10000" / "HAM10000_metadata.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image_id"])
    lesions = sorted({row["lesion_id"] for row in rows})
    held = set(np.random.default_rng(0).permutation(lesions)[: len(lesions) // 5])
    paths = {path.stem: path for path in (DATA / "ham10000").glob("HAM10000_images_part_*/*.jpg")}
    images = []
    for row in rows:
        image = cv2.imread(str(paths[row["image_id"]]), cv2.IMREAD_REDUCED_COLOR_2)
        assert image is not None, row["image_id"]
        images.append(cv2.cvtColor(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
    x = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    y = torch.tensor([names.index(row["dx"]) for row in rows])
    test = torch.tensor([row["lesion_id"] in held for row in rows])
    return (x[~test], y[~test]), (x[test], y[test])


def _digits() -> tuple[Split, Split]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.from_numpy(digits.images.astype(np.float32) / 16)[:, None]
    x = nn.functional.interpolate(x, size=28, mode="bilinear").clamp(0, 1).mul(255).round().byte()
    y = torch.from_numpy(digits.target.astype(np.int64))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return (x[order[:1200]], y[order[:1200]]), (x[order[1200:]], y[order[1200:]])


def _task(name: str, cache: Path) -> tuple[Split, Split]:
    file = cache / f"task-{name}.pt"
    if not file.exists():
        _save({"pneumonia": _pneumonia, "skin": _skin, "digits": _digits}[name](), file)
    return torch.load(file, weights_only=True)


def _save(value: object, file: Path) -> None:
    """A reader never meets half a file."""
    part = file.with_suffix(".part")
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, part)
    part.replace(file)


def _real(images: Tensor, recipe: Recipe) -> Tensor:
    """Images of the task (uint8) as the network sees them: in [0, 1], at its size, in its channels."""
    x = images.float() / 255
    if x.shape[-1] != recipe.size:
        x = nn.functional.avg_pool2d(x, x.shape[-1] // recipe.size)
    return x.expand(-1, recipe.channels, -1, -1).contiguous()


def _attacked(net: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, draw: torch.Generator) -> Tensor:
    """Five steps of PGD inside the training epsilon; on the divergence from the clean prediction for TRADES."""
    net.eval()
    epsilon = recipe.epsilon
    clean = net(x).detach().softmax(1)
    delta = (torch.rand(x.shape, generator=draw) * 2 - 1) * epsilon
    for _ in range(5):
        delta.requires_grad_(True)
        logits = net((x + delta).clamp(0, 1))
        loss = (
            nn.functional.kl_div(logits.log_softmax(1), clean, reduction="batchmean")
            if recipe.loss == "trades"
            else nn.functional.cross_entropy(logits, y)
        )
        (gradient,) = torch.autograd.grad(loss, delta)
        delta = (delta.detach() + epsilon / 2.5 * gradient.sign()).clamp(-epsilon, epsilon)
    net.train()
    return (x + delta).clamp(0, 1).detach()


def _loss(net: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, draw: torch.Generator) -> Tensor:
    if recipe.loss == "adversarial":
        return nn.functional.cross_entropy(net(_attacked(net, x, y, recipe, draw)), y)
    if recipe.loss == "trades":
        near = net(_attacked(net, x, y, recipe, draw))
        logits = net(x)
        divergence = nn.functional.kl_div(near.log_softmax(1), logits.softmax(1), reduction="batchmean")
        return nn.functional.cross_entropy(logits, y) + 4 * divergence
    if recipe.loss == "jacobian":  # one random projection of the Jacobian estimates its Frobenius norm
        x = x.requires_grad_(True)
        logits = net(x)
        direction = nn.functional.normalize(torch.randn(logits.shape, generator=draw), dim=1)
        (rows,) = torch.autograd.grad((logits * direction).sum(), x, create_graph=True)
        return nn.functional.cross_entropy(logits, y) + 0.05 * logits.shape[1] * rows.square().sum() / len(x)
    return nn.functional.cross_entropy(net(x), y)


def _fit(net: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> None:
    """AdamW, one cycle, batches of 64 drawn by the square root of inverse class frequency, flips except of digits."""
    weights = torch.bincount(y).clamp(min=1).float().rsqrt()[y]
    steps = int(recipe.epochs * min(len(x), 5000)) // 64
    optimiser = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    draw = torch.Generator().manual_seed(1)
    net.train()
    for _ in range(steps):
        pick = torch.multinomial(weights, 64, replacement=True, generator=draw)
        images = _real(x[pick], recipe)
        if recipe.task != "digits" and torch.rand((), generator=draw) < 0.5:
            images = images.flip(3)
        if recipe.task == "skin" and torch.rand((), generator=draw) < 0.5:
            images = images.transpose(2, 3).contiguous()
        loss = _loss(net, images, y[pick], recipe, draw)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    net.eval()


@torch.no_grad()
def accuracies(net: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> tuple[float, float, float]:
    """Accuracy, balanced accuracy, and the balanced accuracy of always answering the commonest class."""
    guess = torch.cat([net(_real(part, recipe)).argmax(1) for part in x.split(200)])
    recalls = [float((guess[y == c] == c).double().mean()) for c in y.unique().tolist()]
    return float((guess == y).double().mean()), sum(recalls) / len(recalls), 1 / len(recalls)


def _largest_epsilon(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The smallest round number at which FMN with 100 steps leaves at most 2 % of 50 images right."""
    import references

    radius = references.run("FMN 100", net, images[:50], labels[:50]).radius
    for power in range(-4, 1):
        for digit in (1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 4.8, 6.4, 8.0):
            epsilon = digit * 10.0**power
            if float((radius > epsilon).double().mean()) <= 0.02:
                return min(1.0, epsilon)
    return 1.0


def train(name: str, cache: Path) -> None:
    """Train one network into the cache and print its clean and balanced accuracy."""
    recipe = RECIPES[name]
    (x, y), (test_x, test_y) = _task(recipe.task, cache)
    torch.manual_seed(7)
    net = recipe.build(recipe.channels, recipe.size, CLASSES[recipe.task])
    start = time.process_time()
    _fit(net, x, y, recipe)
    seconds = time.process_time() - start
    clean, balanced, chance = accuracies(net, test_x, test_y, recipe)
    chosen = torch.randperm(len(test_x), generator=torch.Generator().manual_seed(3))[:TEST_IMAGES]
    images, labels = _real(test_x[chosen], recipe), test_y[chosen]
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    largest = _largest_epsilon(net, images, labels)
    print(
        f"{name:20} {recipe.task:10} {recipe.size} px  accuracy {clean:.3f}  balanced {balanced:.3f} (majority {chance:.3f})"
        f"  largest epsilon {largest:g}  trained in {seconds:.0f} CPU seconds",
        flush=True,
    )
    if balanced < chance + 0.1:
        raise SystemExit(
            f"{name}: balanced accuracy {balanced:.3f} is hardly above {chance:.3f}; its recipe must change"
        )
    epsilons = [largest / 2 ** (7 - step) for step in range(8)]
    found = {"clean": clean, "balanced": balanced, "majority": chance, "train_seconds": seconds, "task": recipe.task}
    _save(
        {"images": images, "labels": labels, "epsilons": epsilons, "state": net.state_dict(), **found},
        cache / f"{name}.pt",
    )


def record(name: str, cache: Path) -> dict:
    """What the cache holds of a network; trained now where it holds nothing."""
    file = Path(cache) / f"{name}.pt"
    if not file.exists():
        train(name, Path(cache))
    return torch.load(file, weights_only=True)


def load(name: str, cache: Path | str) -> tuple[nn.Module, Tensor, Tensor, list[float]]:
    """The network in evaluation mode with frozen parameters, 200 images (N, C, H, W) in [0, 1], labels, eight epsilons.

    `cache` holds NAME.pt for each network trained; the tools beside it (../rivals) are found where this environment lacks MONAI.
    """
    sys.path.extend(
        str(folder)
        for folder in (Path(cache).parent / "rivals").glob("lib/python*/site-packages")
        if str(folder) not in sys.path
    )
    recipe, stored = RECIPES[name], record(name, Path(cache))
    net = recipe.build(recipe.channels, recipe.size, CLASSES[recipe.task])
    net.load_state_dict(stored["state"])
    return net.eval().requires_grad_(False), stored["images"], stored["labels"], stored["epsilons"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(RECIPES), metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "palpate-benchmark")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in RECIPES]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not among {', '.join(RECIPES)}")
    folder = arguments.cache / "arch"
    folder.mkdir(parents=True, exist_ok=True)
    if "PALPATE_BENCHMARK" not in os.environ:
        sweep.enter_environment(arguments.cache)
    torch.set_num_threads(1)
    for name in arguments.names:
        if not (folder / f"{name}.pt").exists():
            train(name, folder)


if __name__ == "__main__":
    main()
