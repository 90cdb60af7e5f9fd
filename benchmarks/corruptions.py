"""What applying a corruption costs, against one forward pass of ResNet-18, at 224 pixels; each is timed alternately with the network.

python benchmarks/corruptions.py          # milliseconds per image, the median of several severities and rounds; one thread
"""

import statistics
import time

import torch
from torchvision.models import resnet18

from palpate.core.registry import CORRUPTIONS
from palpate.corruptions.corruption import apply
from palpate.data.synthetic.generate import generate

SIDE, ROUNDS, SHARES = 224, 3, (0.25, 0.5, 1.0)


def milliseconds(function) -> float:
    """Of one call."""
    start = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Print a line for each corruption, the dearest first."""
    torch.set_num_threads(1)
    colour = torch.from_numpy(generate("skin", 1, SIDE, 0).images).permute(0, 3, 1, 2).float() / 255
    network = resnet18().eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        network(colour)
        found = []
        for name, corruption in CORRUPTIONS.items():
            image = colour[:, :1] if corruption.modality == "x-ray" else colour
            severities = [corruption.rounded(corruption.range_of(SIDE) * share) for share in SHARES]
            apply(corruption, image, severities[0])
            pairs = [
                (milliseconds(lambda s=s, c=corruption, x=image: apply(c, x, s)), milliseconds(lambda: network(colour)))
                for _ in range(ROUNDS)
                for s in severities
            ]
            own, pass_time = (statistics.median(column) for column in zip(*pairs, strict=True))
            found.append((own / pass_time, own, pass_time, name))
    print("share of a pass   ms    pass ms")
    for share, own, pass_time, name in sorted(found, reverse=True):
        print(f"{share:>15.2f} {own:>6.1f} {pass_time:>8.1f}  {name}")


if __name__ == "__main__":
    main()
