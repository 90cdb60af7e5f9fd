"""The attack held to the grid of grey levels: from perturbations found in floating point to images that a file can hold.

On the grid a radius is a whole number of levels, the smallest that holds what was found in floating point, or the next above it where no image of
the grid fools inside that one.
"""

from torch import Tensor

from palpate.attacks.losses import margin
from palpate.attacks.norms import per_image
from palpate.attacks.problem import Block
from palpate.attacks.quantize import to_levels

STEPS = (1.0, 0.5, 0.25, 0.5, 0.25)
"""Steps in a ball of grey levels where the scaled perturbation does not fool, as shares of the radius, never less than a level: large ones cross a
ball of few levels at once, and the last two repair what rounding undid."""

ROUNDING = 1e-6
"""Share of a level up to which a radius counts as a whole number of levels: 2/255 · 255 may be 1.9999…"""


def onto_levels(block: Block, levels: int) -> None:
    """Replace what was found in floating point by images that a file with `levels` grey levels can hold.

    First the perturbation is stretched to fill the smallest ball of whole levels around it and rounded: one forward pass, and mostly enough. Where
    that does not fool, steps along the gradient's sign follow, rounded each time, and then the ball of one level more. An
    image that no ball up to the largest epsilon yields is not fooled: its radius is infinite.

    Args:
        block: images on the grid, with their best adversarials, which are replaced.
        levels: grey levels of the file.

    Raises:
        InputError: a clean image is not on the grid.
    """
    best, access, steps = block.best, block.access, levels - 1
    most = int(block.top * steps + ROUNDING)
    rows = (best.limit.isfinite() & (best.limit > 0) & ~best.failed).nonzero()[:, 0]
    count = (best.limit[rows] * steps - ROUNDING).ceil().clamp(min=1)  # levels of the ball, one per row
    direction = (best.points[rows] - best.clean[rows]) * per_image(1 / best.limit[rows], best.clean)
    best.limit[rows], best.points[rows] = float("inf"), best.clean[rows]
    while len(rows):
        inside = count <= most
        rows, count, direction = rows[inside], count[inside], direction[inside]
        radius = count / steps
        clean, truth = best.clean[rows], block.labels[rows]
        point = to_levels(clean + direction * per_image(radius, clean), clean, radius, levels)
        fooled = _try(block, rows, point, radius)
        for share in STEPS:
            (left,) = (~fooled).nonzero(as_tuple=True)
            if not len(left):
                break
            _, _, gradient = access.gradient(point[left], margin, truth[left], image=rows[left])
            size = (share * count[left]).round().clamp(min=1) / steps
            moved = point[left] + gradient.sign() * per_image(size, point)
            point[left] = to_levels(moved, clean[left], radius[left], levels)
            fooled[left] = _try(block, rows[left], point[left], radius[left])
        rows, count, direction = rows[~fooled], count[~fooled] + 1, direction[~fooled]
        best.tell("grey levels")


def _try(block: Block, image: Tensor, point: Tensor, radius: Tensor) -> Tensor:
    if not len(image):
        return image > 0
    access = block.access
    fooled = access.certain_margin(access.logits(point, image), block.labels[image]) > 0
    block.best.update(image, point, radius, fooled)
    return fooled
