"""Grey images stay grey under every attack unless told otherwise, since no scanner makes coloured ones."""

import pytest
import torch
from torch import nn

import palpate
from palpate.attacks.norms import distance
from palpate.attacks.result import Sweep


@pytest.fixture(scope="module")
def colourful() -> nn.Module:
    """A network whose three channels pull in different directions."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3)).eval()


def grey(count: int = 6) -> torch.Tensor:
    images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(2)).expand(-1, 3, -1, -1).contiguous()
    return images.clamp(0.1, 0.8)


def coloured(result: Sweep) -> bool:
    assert result.adversarials is not None
    made = result.adversarials if result.worst is None else result.worst.flatten(0, 1)
    return bool((made != made[:, :1]).any())


ATTACKS = [
    {"attack": "fast"},
    {"attack": "standard"},
    {"attack": "ensemble"},
    {"attack": "standard", "norm": "l2"},
    {"attack": "standard", "norm": "l1"},
    {"attack": "ensemble", "norm": "l1"},
    {"attack": "max-loss", "steps": 3},
    {"attack": "max-loss", "steps": 3, "norm": "l1"},
    {"attack": "pgd", "steps": 3},
    {"attack": "pgd", "steps": 3, "norm": "l2"},
    {"attack": "apgd", "steps": 5, "norm": "l1"},
    {"attack": "square", "queries": 100},
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: "-".join(map(str, each.values())))
def test_grey_stays_grey_unless_channels_are_free(colourful, attack):
    images = grey(4)
    labels, norm = colourful(images).argmax(1), attack.get("norm", "linf")
    top = [{"linf": 0.4, "l2": 4.0, "l1": 100.0}[norm]]
    tied = palpate.sweep(colourful, images, labels, top, attack)
    assert (tied.radius <= top[0]).any()
    assert not coloured(tied)
    assert tied.adversarials is not None
    assert (distance(tied.adversarials, images, norm) <= top[0]).all()
    free = palpate.sweep(colourful, images, labels, top, attack | {"channels": "free"})
    assert coloured(free)
    assert free.how["channels"] == "free"


def test_colour_makes_radii_smaller_and_tied_channels_are_one_channel(colourful):
    """The same network as a function of one grey channel has the same radii."""

    class OneChannel(nn.Module):
        def forward(self, x):
            return colourful(x.expand(-1, 3, -1, -1))

    images = grey(12)
    labels = colourful(images).argmax(1)
    tied = palpate.sweep(colourful, images, labels, [0.5])
    free = palpate.sweep(colourful, images, labels, [0.5], {"attack": "standard", "channels": "free"})
    native = palpate.sweep(OneChannel().eval(), images[:, :1], labels, [0.5])
    torch.testing.assert_close(native.radius, tied.radius, rtol=1e-2, atol=0)
    assert (free.radius <= 1.01 * tied.radius).all()
    assert free.radius.median() < 0.9 * tied.radius.median()


def test_coloured_images_beside_grey_ones_are_attacked_in_colour(colourful):
    images = grey(2)
    images[1, 0] *= 0.9
    result = palpate.sweep(colourful, images, colourful(images).argmax(1), [0.5])
    made = result.adversarials
    assert made is not None
    assert torch.equal(made[0], made[0, :1].expand(3, -1, -1))
    change = made[1] - images[1]
    assert not torch.allclose(change, change[:1].expand(3, -1, -1))


def test_the_grid_of_grey_levels_keeps_grey(colourful):
    images = (grey(4) * 255).round() / 255
    result = palpate.sweep(colourful, images, colourful(images).argmax(1), [0.2], {"attack": "standard", "levels": 256})
    assert result.radius.isfinite().any()
    assert not coloured(result)
