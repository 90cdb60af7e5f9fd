"""Heads that change no decision should change no radius: how many images keep theirs, where the head can be seen through and where it cannot.

    python benchmarks/heads.py --images 100

The network is the undefended one for seven classes of models.py. Seen through: the attack finds the logits before the head. Not: a product with the
unit matrix follows the head, so that it is part of no layer that the attack looks behind, as in a scripted network.
"""

import argparse
import json
import os
import platform
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import models
import palpate

HERE = Path(__file__).parent
DATA = Path(os.environ.get("PALPATE_DATA", HERE.parent.parent / "shared" / "data"))
CLASSES, TOP = 7, 0.032
HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "z³": lambda z: z**3,
    "z⁵": lambda z: z**5,
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: z.softmax(1),
    "10 more for the predicted class": lambda z: z + 10 * F.one_hot(z.argmax(1), CLASSES),
}


class Headed(nn.Module):
    """A network with a function of its logits, and a product with the unit matrix behind that where it is to be hidden."""

    def __init__(self, network: nn.Module, head: Callable[[Tensor], Tensor], hidden: bool) -> None:
        super().__init__()
        self.network, self.head, self.hidden = network, head, hidden

    def forward(self, x: Tensor) -> Tensor:
        z = self.head(self.network(x))
        return z @ torch.eye(CLASSES) if self.hidden else z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "palpate-benchmark")
    parser.add_argument("--out", type=Path, default=HERE / "heads.json")
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    task = models.task(CLASSES, DATA, arguments.cache)
    network = models.network(CLASSES, "undefended", task, arguments.cache).eval()
    images, labels = (each[: arguments.images] for each in task["test"])
    rows = []
    print(
        "| strength | head | seen through | within 1 % | within 5 % | largest ratio | passes |\n|---|---|---|---|---|---|---|"
    )
    for strength in ("standard", "ensemble"):
        raw = palpate.sweep(network, images, labels, [TOP], strength)
        for (name, head), hidden in ((each, hidden) for hidden in (False, True) for each in HEADS.items()):
            with warnings.catch_warnings(action="ignore"):  # outputs that look like probabilities are told of
                found = palpate.sweep(Headed(network, head, hidden).eval(), images, labels, [TOP], strength)
            ratio = found.radius.clamp(max=TOP) / raw.radius.clamp(max=TOP)
            ratio = torch.where(found.radius == raw.radius, 1.0, ratio).nan_to_num(float("inf"))
            forward, backward = found.passes.double().mean(0).tolist()
            within = [float((ratio <= 1 + share).double().mean()) for share in (0.01, 0.05)]
            rows.append(
                {
                    "strength": strength, "head": name, "seen_through": not hidden, "within_1_percent": within[0],
                    "within_5_percent": within[1], "largest_ratio": float(ratio.max()), "forward": forward, "backward": backward,
                }
            )  # fmt: skip
            print(
                f"| `{strength}` | {name} | {'no' if hidden else 'yes'} | {within[0]:.0%} | {within[1]:.0%} | {ratio.max():.3f} |"
                f" {forward:.0f} / {backward:.0f} |",
                flush=True,
            )
    about = {
        "command": f"python benchmarks/heads.py --images {arguments.images}",
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, one thread",
        "torch": torch.__version__,
    }
    arguments.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
