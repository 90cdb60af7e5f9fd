"""On a GPU: images per second of the sweep in float32, TF32 and bfloat16 beside Foolbox's LinfPGD on the same card, and its radii beside the CPU's.

python benchmarks/gpu.py --data pneumoniamnist.npz --out benchmarks/gpu.json     # ResNet-50 and DenseNet121 at 224 pixels, trained here first

The images are PneumoniaMNIST's, enlarged. Every attack has the same eight epsilons. A mode is warmed up on as many images as a batch holds before it
is timed. TF32 and bfloat16 serve for gradients alone: what fools is confirmed in float32.
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import densenet121, resnet50

import palpate

NETWORKS = {"ResNet-50": resnet50, "DenseNet121": densenet121}
EPSILONS = tuple(0.064 / 2 ** (7 - step) for step in range(8))
MODES = {
    "float32": (False, "float32"),
    "TF32": (True, "float32"),
    "bfloat16": (False, "bfloat16"),
}  # TF32 allowed, precision
EPOCHS, BATCH = 3, 64


class Grey(nn.Module):
    """A network of three channels and two classes for grey images (N, 1, H, W) in [0, 1]."""

    def __init__(self, make: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.body = make(weights=None, num_classes=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(((x - 0.5) / 0.25).expand(-1, 3, -1, -1))


@contextmanager
def tf32(allowed: bool):
    """Whether products and convolutions may round to 10 bits."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def load(data: Path, side: int, device: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Images (N, 1, side, side) on the device, and labels, of the training and the test split."""
    file = np.load(data)
    parts = {}
    for split in ("train", "test"):
        images = torch.from_numpy(file[f"{split}_images"]).float()[:, None] / 255
        images = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False).clamp(0, 1)
        parts[split] = images.to(device), torch.from_numpy(file[f"{split}_labels"][:, 0].astype(np.int64)).to(device)
    return parts


def train(make: Callable[..., nn.Module], images: Tensor, labels: Tensor) -> nn.Module:
    """A network from random weights, with AdamW in bfloat16."""
    torch.manual_seed(0)
    net = Grey(make).to(images.device)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images), device=images.device).split(BATCH):
            with torch.autocast(images.device.type, torch.bfloat16):
                loss = F.cross_entropy(net(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def timed(run: Callable[[], object]) -> tuple[float, object]:
    """Seconds until the device has finished, and what it gave."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def with_foolbox(net: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], object]:
    """Foolbox's LinfPGD as its users call it, in batches."""
    import foolbox

    model = foolbox.PyTorchModel(net, bounds=(0, 1))

    def run() -> None:
        for rows in torch.arange(len(images), device=images.device).split(BATCH):
            foolbox.attacks.LinfPGD()(model, images[rows], labels[rows], epsilons=EPSILONS)

    return run


def measure(name: str, parts: dict[str, tuple[Tensor, Tensor]], count: int, few: int) -> dict:
    """All figures of one network."""
    net = train(NETWORKS[name], *parts["train"])
    everything, truth = parts["test"]
    with torch.no_grad():
        answers = torch.cat([net(part).argmax(1) for part in everything.split(BATCH)])
    chosen = torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))[:count].to(truth.device)
    images, labels = everything[chosen], truth[chosen]
    record = {
        "accuracy": (answers == truth).double().mean().item(),
        "majority": truth.bincount().max().item() / len(truth),
    }
    radii, record["modes"] = {}, {}
    for mode, (allowed, precision) in MODES.items():
        attack = {"attack": "standard", "precision": precision}
        with tf32(allowed):
            palpate.sweep(net, images[:BATCH], labels[:BATCH], EPSILONS, attack, keep="radius")
            seconds, found = timed(
                lambda attack=attack: palpate.sweep(net, images, labels, EPSILONS, attack, keep="radius")
            )
            radii[mode] = found.radius
            row = {"images per second": count / seconds, "passes": found.passes.double().mean(0).tolist()}
            row["robust accuracy"] = [found.robust_accuracy(epsilon) for epsilon in EPSILONS]
            if precision == "float32":
                run = with_foolbox(net, images[:few], labels[:few])
                with_foolbox(net, images[:8], labels[:8])()
                row["Foolbox, images per second"] = few / timed(run)[0]
                row["times faster"] = row["images per second"] / row["Foolbox, images per second"]
        record["modes"][mode] = row
        print(name, mode, {key: np.round(value, 3).tolist() for key, value in row.items()}, flush=True)
    on_cpu = palpate.sweep(net.cpu(), images[:few].cpu(), labels[:few].cpu(), EPSILONS, keep="radius").radius
    for mode, found in radii.items():
        both = on_cpu.isfinite() & found[:few].isfinite() & (on_cpu > 0)
        ratio = (found[:few] / on_cpu)[both]
        record["modes"][mode]["beside the CPU"] = {
            "images": int(both.sum()),
            "same status": bool(
                torch.equal(on_cpu.isfinite(), found[:few].isfinite()) and torch.equal(on_cpu == 0, found[:few] == 0)
            ),
            "largest difference": (ratio - 1).abs().max().item() if len(ratio) else None,
            "within 1 %": ((ratio - 1).abs() <= 0.01).double().mean().item(),
        }
        print(name, mode, record["modes"][mode]["beside the CPU"], flush=True)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="pneumoniamnist.npz")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--few", type=int, default=48, help="images for Foolbox and for the CPU")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU is seen by torch; --device cpu tries the script without one")
    warnings.simplefilter("ignore")
    parts = load(arguments.data, arguments.side, arguments.device)
    card = torch.cuda.get_device_name() if arguments.device == "cuda" else "none"
    report = {
        "command": "python benchmarks/gpu.py --data pneumoniamnist.npz",
        "card": card,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
        "images": arguments.images,
        "few": arguments.few,
        "side": arguments.side,
        "networks": {},
    }
    for name in NETWORKS:
        report["networks"][name] = measure(name, parts, arguments.images, arguments.few)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
