"""Images per second of our training loop against a bare PyTorch loop on the same network, images, batches and optimizer.

The two loops run in turn in one process of one thread; seconds are those of the processor, so that other work on the machine counts little.

    python benchmarks/training.py --json benchmarks/training.json
"""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import palpate
from palpate.core.io import write_json
from palpate.training.loop import fit
from palpate.training.spec import TrainSpec

SPEC = TrainSpec(epochs=2, batch_size=32, optimizer="adamw", learning_rate=0.001, class_weights="none", keep="last")


def network(backbone: str, size: int) -> nn.Module:
    """The same weights each time."""
    torch.manual_seed(0)
    model = palpate.build(backbone, num_classes=2, size=size, output_stride=8 if size == 32 else 32)
    return model.to(memory_format=torch.channels_last)


def bare(model: nn.Module, data: palpate.Dataset) -> None:
    """What a tutorial would write."""
    labels = torch.as_tensor(data.train.labels)
    optimizer = torch.optim.AdamW(model.parameters(), SPEC.learning_rate, weight_decay=0)
    for _ in range(SPEC.epochs):
        model.train()
        for chosen in torch.randperm(len(labels)).split(SPEC.batch_size):
            loss = F.cross_entropy(model(data.train.images[chosen.numpy()]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            model(data.val.images[:])


def ratio(backbone: str, size: int, images: int, turns: int) -> dict[str, float]:
    """Images per second of both loops, and ours over theirs: the median of neighbouring turns."""
    data = palpate.load("phantom-skin", size=size, train_images=images, val_images=16, test_images=16)
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    for turn in range(turns + 1):  # the first warms up
        for name in ("bare", "ours") if turn % 2 else ("ours", "bare"):
            model, start = network(backbone, size), time.process_time()
            if name == "bare":
                bare(model, data)
            else:
                fit(model, data, SPEC, device="cpu")
            if turn:
                seconds[name].append(time.process_time() - start)
    seen = images * SPEC.epochs
    both = [theirs / ours for theirs, ours in zip(seconds["bare"], seconds["ours"], strict=True)]
    rates = {name: seen / statistics.median(values) for name, values in seconds.items()}
    return {"bare_images_per_s": rates["bare"], "our_images_per_s": rates["ours"], "ratio": statistics.median(both)}


def main() -> None:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | px | bare loop, images/s | ours | ours over bare |\n|---|---:|---:|---:|---:|")
    table = []
    for backbone, size, images in (("test_resnet", 32, 512), ("resnet18", 64, 128)):
        found = ratio(backbone, size, images, arguments.turns)
        table.append({"backbone": backbone, "size": size, **found})
        numbers = f"{found['bare_images_per_s']:.0f} | {found['our_images_per_s']:.0f} | {found['ratio']:.3f}"
        print(f"| {backbone} | {size} | {numbers} |", flush=True)
    machine = {"python": platform.python_version(), "torch": torch.__version__, "load": os.getloadavg()[0]}
    write_json(arguments.json, {"table": table, "machine": machine})


if __name__ == "__main__":
    main()
