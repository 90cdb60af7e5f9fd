"""Draws the gallery of docs/corruptions.md: every corruption on a phantom at three severities, and what each is.

python benchmarks/gallery.py          # writes docs/corruptions/*.webp and the end of docs/corruptions.md
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from palpate.core.formatting import number
from palpate.core.registry import CORRUPTIONS
from palpate.corruptions.corruption import Corruption, apply
from palpate.data.synthetic.generate import generate

SIDE, SHARES, GAP = 224, (1 / 8, 1 / 3, 1), 6
SHOWN = 128  # of each picture, in the file
KINDS = {"general": "skin", "dermatoscopy": "skin", "x-ray": "chest", "fundus": "fundus"}
TITLES = {
    "general": "Files, optics, position, noise",
    "x-ray": "X-ray",
    "dermatoscopy": "Dermatoscopy",
    "fundus": "Fundus photographs",
}
DOCS = Path(__file__).parents[1] / "docs"
START = "<!-- from here on written by benchmarks/gallery.py -->\n"


def severities(found: Corruption) -> list[float]:
    """Three of them: an eighth, a third and all of the range."""
    return [found.rounded(found.range_of(SIDE) * share) for share in SHARES]


def strip(found: Corruption, image: torch.Tensor) -> Image.Image:
    """The clean image and three severities side by side."""
    pictures = [image, *(apply(found, image, severity) for severity in severities(found))]
    row = []
    for picture in pictures:
        pixels = (picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        row += [pixels, np.full((SIDE, GAP, pixels.shape[2]), 255, np.uint8)]
    whole = np.concatenate(row[:-1], 1)
    drawn = Image.fromarray(whole[:, :, 0] if whole.shape[2] == 1 else whole)
    return drawn.resize((round(drawn.width * SHOWN / SIDE), SHOWN), Image.Resampling.LANCZOS)


def entry(found: Corruption) -> str:
    """A line of words and the picture."""
    top = f"0 … {number(found.range_of(SIDE))} {found.unit}"
    published = (
        f", {found.parameter} {found.published(0):.4g} … {found.published(found.range_of(SIDE)):.4g}"
        if found.parameter
        else ""
    )
    levels = "; ".join(
        f"{name} {', '.join(f'{found.published(level):.3g}' for level in values)}"
        for name, values in found.levels.items()
    )
    words = " ".join((found.function.__doc__ or "").split("\n\n")[0].split())
    shown = ", ".join(number(severity) for severity in severities(found))
    lines = [
        f"**`{found.name}`** {words} Severity: {top}{published}{'; drawn' if found.stochastic else ''}. Source: {found.source}.",
        *([f"Levels: {levels}."] if levels else []),
        f"\n![{found.name}: the clean image, then severities {shown}](corruptions/{found.name}.webp)",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pictures and the text."""
    folder = DOCS / "corruptions"
    folder.mkdir(exist_ok=True)
    images = {
        kind: torch.from_numpy(generate(kind, 3, SIDE, 1).images[2:]).permute(0, 3, 1, 2).float() / 255 for kind in ("skin", "chest", "fundus")
    }  # fmt: skip
    images["chest"] = images["chest"][:, :1]
    parts, total = [], 0
    for modality, title in TITLES.items():
        parts.append(f"### {title}\n")
        for found in CORRUPTIONS.values():
            if found.modality == modality and found.function.__module__.startswith("palpate."):
                file = folder / f"{found.name}.webp"
                strip(found, images[KINDS[modality]]).save(file, quality=80, method=6)
                total += file.stat().st_size
                parts.append(entry(found))
    page = DOCS / "corruptions.md"
    text = page.read_text(encoding="utf-8").split(START)[0]
    page.write_text(text + START + "\n## Gallery\n\n" + "\n".join(parts), encoding="utf-8")
    print(f"{total / 1e6:.2f} MB of pictures")


if __name__ == "__main__":
    main()
