"""What a corruption costs: applying it, against one forward pass of ResNet-18 at 224 pixels, and the passes of the search for each image.

python benchmarks/corruptions.py --out benchmarks/corruptions.json     # CPU time, one thread; each is timed alternately with the network
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet18

import palpate
from palpate.core.registry import CORRUPTIONS
from palpate.corruptions.api import Corrupted
from palpate.corruptions.corruption import Corruption, apply
from palpate.data.synthetic.generate import generate

SIDE, ROUNDS, SHARES = 224, 3, (0.25, 0.5, 1.0)
IMAGES = 12  # whose passes are counted, at 64 pixels
MOST_PASSES = 12


def milliseconds(function) -> float:
    """CPU time of one call, which a busy machine changes least."""
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start)


def pictures(found: Corruption, count: int, side: int) -> torch.Tensor:
    """Phantoms (n, C, H, W) of 8 bits that suit the corruption: grey for radiographs."""
    kind = "chest" if found.modality == "x-ray" else "skin"
    images = torch.from_numpy(generate(kind, count, side, 0).images).permute(0, 3, 1, 2).float() / 255
    return images[:, :1] if kind == "chest" else images


def cost(found: Corruption, network: nn.Module) -> dict:
    """Milliseconds of the corruption at three severities and of a pass, and what part of a pass it is: the median, and at its dearest severity."""
    image = pictures(found, 1, SIDE)
    seen = image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    severities = [found.rounded(found.range_of(SIDE) * share) for share in SHARES]
    apply(found, image, severities[0])
    own = {severity: [] for severity in severities}
    passes = []
    for _ in range(ROUNDS):
        for severity in severities:
            own[severity].append(milliseconds(lambda s=severity: apply(found, image, s)))
            passes.append(milliseconds(lambda: network(seen)))
    one = statistics.median(passes)
    each = [statistics.median(times) for times in own.values()]
    return {
        "milliseconds": round(statistics.median(each), 2),
        "pass_milliseconds": round(one, 1),
        "share_of_a_pass": round(statistics.median(each) / one, 3),
        "share_at_the_dearest_severity": round(max(each) / one, 3),
    }


def searched(found: Corruption) -> int:
    """The most forward passes that the search takes of an image and draw, on a small network with random weights."""
    images = pictures(found, IMAGES, 64)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(images.shape[1], 8, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 2)
    ).eval()
    with torch.no_grad():
        centre = network(images).mean(0)
        network[-1].bias -= centre  # so that about half of the images are of either class, and many near the boundary
        labels = network(images).argmax(1)
    draws = 1 if found.stochastic else None
    taken = palpate.corrupt(network, images, labels, found, draws=draws).passes[:, 0].max()
    assert taken <= Corrupted.of(found, draws, 0).expected_passes(5)
    return int(taken)


def main() -> None:
    """Print a line for each corruption, the dearest first, and write all to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = resnet18().eval().to(memory_format=torch.channels_last).requires_grad_(False)
    network(torch.rand(1, 3, SIDE, SIDE))
    found = {}
    with torch.no_grad():
        for name, corruption in CORRUPTIONS.items():
            found[name] = cost(corruption, network) | {"passes": searched(corruption), "drawn": corruption.stochastic}
    order = sorted(found, key=lambda name: -found[name]["share_of_a_pass"])
    print("| corruption | part of a pass | at its dearest severity | most passes of an image |\n|---|--:|--:|--:|")
    for name in order:
        one = found[name]
        print(
            f"| `{name}` | {one['share_of_a_pass']:.2f} | {one['share_at_the_dearest_severity']:.2f} | {one['passes']} |"
        )
    above = [name for name in order if found[name]["share_at_the_dearest_severity"] > 1]
    many = [name for name in order if found[name]["passes"] > MOST_PASSES]
    print(f"above one pass: {', '.join(above) or 'none'}; above {MOST_PASSES} passes: {', '.join(many) or 'none'}")
    if arguments.out:
        machine = f"{platform.machine()}, {os.cpu_count()} shared cores, one thread, CPU time"
        about = {"machine": machine, "python": platform.python_version(), "torch": torch.__version__}
        arguments.out.write_text(
            json.dumps(about | {"corruptions": {name: found[name] for name in order}}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
