"""What a study costs per image, epsilon, pixel and model on this machine, and what follows for a large one.

Seconds are those of the processor (of one thread), so that a shared machine changes them little; on a GPU they are the clock's. Rates are of random
weights, whose passes cost what any others do; passes per image are counted. docs/scale.md has the arithmetic.

    python benchmarks/scale.py --json benchmarks/scale.json
    python benchmarks/scale.py --device cuda --json scale-of-my-card.json
"""

import argparse
import math
import os
import platform
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import palpate
from palpate.core.io import write_json
from palpate.models.predict import evaluating

MODELS = (
    ("resnet18", 64, 16),
    ("resnet18", 128, 8),
    ("resnet18", 224, 4),
    ("resnet50", 224, 4),
    ("densenet121", 224, 4),
)
"""Backbone, side in pixels, and images per batch on a CPU."""

EPSILONS = (1, 4, 16)
GPU_BATCH = 64

CHEST = {"trained_on": 86_524, "attacked": 25_596, "epochs": 30, "models": 12}
"""ChestX-ray14 whole, in its publisher's split, as a study of twelve models."""

ASSUMED_TFLOPS = 20
"""1e12 operations that a GPU does in a second of such passes: assumed for the projection, not measured."""


def clock(device: torch.device) -> float:
    """Seconds: of the processor on a CPU, of the wall on a GPU whose work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def per_image(model: nn.Module, images: torch.Tensor, training: bool, turns: int) -> float:
    """Seconds per image of a training step's passes, or of a forward and backward pass to the images with frozen weights."""
    labels, best = torch.zeros(len(images), dtype=torch.long, device=images.device), float("inf")
    for _ in range(turns + 1):  # the first warms up
        start = clock(images.device)
        if training:
            model.train()
            F.cross_entropy(model(images), labels).backward()
            model.zero_grad()
        else:
            with evaluating(model):
                leaf = images.clone().requires_grad_(True)
                F.cross_entropy(model(leaf), labels).backward()
        best = min(best, (clock(images.device) - start) / len(images))
    return best


def gflop(model: nn.Module, images: torch.Tensor, training: bool) -> float:
    """1e9 floating-point operations per image of what `per_image` times: two for each multiplication with its addition."""
    with FlopCounterMode(display=False) as counter:
        per_image(model, images, training, turns=0)
    return counter.get_total_flops() / len(images) / 1e9


def rates(device: torch.device, turns: int) -> list[dict]:
    """Seconds per image of each model and size."""
    found = []
    for name, size, batch in MODELS:
        model = palpate.build(name, num_classes=2, size=size).to(device, memory_format=torch.channels_last)
        images = torch.rand(GPU_BATCH if device.type == "cuda" else batch, 3, size, size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        train, attack = (per_image(model, images, training, turns) for training in (True, False))
        counts = {
            f"{kind}_gflop": gflop(model, images[:1].repeat(2, 1, 1, 1), kind == "train")
            for kind in ("train", "attack")
        }
        found.append({"model": name, "size": size, "train_s": train, "attack_pass_s": attack, **counts})
        numbers = [f"{1000 * train:.1f}", f"{1000 * attack:.1f}", f"{1e9 * attack / size**2:.0f}"]
        numbers += [f"{count:.1f}" for count in counts.values()]
        print(f"| {name} | {size} | {' | '.join(numbers)} |", flush=True)
    return found


def epsilons(device: torch.device) -> list[dict]:
    """Seconds and passes per image of the standard attack, for one epsilon and for many up to the same largest."""
    data = palpate.load("phantom-skin", size=32, train_images=400, val_images=64, test_images=128)
    model = palpate.build("test_resnet", size=32, output_stride=8)
    palpate.fit(
        model,
        data,
        palpate.TrainSpec(epochs=6, optimizer="adamw", learning_rate=0.003, adam_epsilon=1e-8),
        device="cpu",
    )
    model, images, labels = model.to(device), data.test.images[:], torch.as_tensor(data.test.labels)
    found = []
    for count in EPSILONS:
        grid = [16 / 255 * (place + 1) / count for place in range(count)]
        start = clock(device)
        sweep = palpate.sweep(model, images, labels, grid, attack="standard")
        seconds = (clock(device) - start) / len(images)
        forward, backward = sweep.passes.double().mean(0).tolist()
        found.append({"epsilons": count, "seconds": seconds, "forward": forward, "backward": backward})
        print(f"| {count} | {1000 * seconds:.1f} | {forward:.1f} | {backward:.1f} |", flush=True)
    return found


def projection(rate: dict, passes: float) -> dict[str, dict[str, float]]:
    """Hours and 1e15 operations for ChestX-ray14 whole and twelve models that cost as this one does: the trainings, and the attacks."""
    trained = CHEST["trained_on"] * CHEST["epochs"] * CHEST["models"]
    attacked = CHEST["attacked"] * CHEST["models"] * passes
    return {
        "training": {"hours": trained * rate["train_s"] / 3600, "pflop": trained * rate["train_gflop"] / 1e6},
        "attack": {"hours": attacked * rate["attack_pass_s"] / 3600, "pflop": attacked * rate["attack_gflop"] / 1e6},
    }


def on(devices: int, training: float, attack: float) -> float:
    """Hours on so many devices: each training is of one device, in as many rounds as are needed; attacks are shared by all."""
    return training * math.ceil(CHEST["models"] / devices) / CHEST["models"] + attack / devices


def projected(whole: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print hours on one device, eight and 64: as measured, and on devices that do `ASSUMED_TFLOPS`."""
    header = " | training, h | attack, h | one device, h | eight | 64 |\n|---|---:|---:|---:|---:|---:|"
    for title, key, scale in (
        ("as measured", "hours", 1.0),
        (f"at {ASSUMED_TFLOPS} TFLOP/s", "pflop", 3.6 * ASSUMED_TFLOPS),
    ):
        print(f"\n| {title}{header}")
        for name, parts in whole.items():
            training, attack = parts["training"][key] / scale, parts["attack"][key] / scale
            numbers = [training, attack, *(on(devices, training, attack) for devices in (1, 8, 64))]
            print(f"| {name} | " + " | ".join(f"{number:,.1f}" for number in numbers) + " |")


def main() -> None:
    """Print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    print(
        "| model | px | training, ms per image | attack pass, ms per image | ns per pixel | training, GFLOP | attack pass, GFLOP |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    models = rates(device, arguments.turns)
    print("\n| epsilons | standard attack, ms per image | forward passes | backward passes |\n|---:|---:|---:|---:|")
    grid = epsilons(device)
    passes = (grid[-1]["forward"] + grid[-1]["backward"]) / 2
    whole = {rate["model"]: projection(rate, passes) for rate in models if rate["size"] == 224}
    projected(whole)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}, one thread"
    machine = {"device": name, "torch": torch.__version__, "load": os.getloadavg()[0]}
    write_json(
        arguments.json, {"models": models, "epsilons": grid, "chest": CHEST, "projection": whole, "machine": machine}
    )


if __name__ == "__main__":
    main()
