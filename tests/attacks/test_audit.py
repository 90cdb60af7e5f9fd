"""What is reported as fooled is fooled in a batch of any size, also where rounding differs between them."""

import torch
from torch import nn

import palpate
from palpate.attacks.problem import Problem


class Rounding(nn.Module):
    """Two logits near 2; in a batch of several images the second is larger by three units in its last place, as other kernels may round."""

    def forward(self, x):
        second = 2 + 0.01 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([torch.full_like(second, 2.0), second + (3 * 2.0**-22 if len(x) > 1 else 0)], 1)


def test_points_that_fool_in_a_batch_only_are_moved_outwards():
    images = torch.linspace(0.3, 0.499, 64)[:, None, None, None].expand(64, 1, 4, 4).contiguous()
    found = palpate.sweep(Rounding().eval(), images, torch.zeros(64, dtype=torch.long), [0.25])
    assert found.radius.isfinite().all()
    assert found.adversarials is not None
    alone = torch.tensor([Rounding()(each[None]).argmax(1).item() == 1 for each in found.adversarials])
    assert alone[found.radius > 0.005].all()  # nearer, the rounding is more than 2 % of the way
    exact = 0.5 - images[:, 0, 0, 0].double()
    assert torch.allclose(found.radius, exact, rtol=0.022, atol=2e-4)


class Wavering(nn.Module):
    """Two logits near 2; the second is larger by up to fifteen units in its last place, by chance for each image, memory layout and batch size."""

    def forward(self, x):
        bits = (x.flatten(1).double() * 997).sum(1).frac() + 0.37 * len(x) + 0.61 * (x.stride(1) == 1)
        second = 2 + 0.01 * (x.flatten(1).mean(1) - 0.5) + 15 * 2.0**-22 * bits.frac().float()
        return torch.stack([torch.full_like(second, 2.0), second], 1)


def test_how_far_batches_change_the_answers_is_measured():
    """On networks whose answers differ more between batches than those of most, points are moved farther, and few fall back in other batches."""
    images = torch.linspace(0.3, 0.42, 64)[:, None, None, None].expand(64, 2, 4, 4).contiguous()
    found = palpate.sweep(Wavering().eval(), images, torch.zeros(64, dtype=torch.long), [0.25])
    assert found.adversarials is not None
    for size in (1, 3, 16, 64):
        for layout in (torch.contiguous_format, torch.channels_last):
            parts = found.adversarials.contiguous(memory_format=layout).split(size)
            assert torch.cat([Wavering()(part).argmax(1) for part in parts]).all()


def test_a_spare_point_stands_in_for_one_that_is_not_confirmed():
    images = torch.full((3, 1, 4, 4), 0.4)
    block = next(iter_blocks(Rounding().eval(), images))
    image, radius = torch.arange(3), torch.full((3,), 0.2, dtype=torch.float64)
    block.best.update(image, images + 0.2, radius, image >= 0)
    block.best.keep()
    block.best.update(image, images + 0.05, radius / 4, image > 0)  # no mistake of the model, and too far from one
    block.best.keep()  # what was kept first is not lost by that
    block.best.update(image, images + 0.02, radius / 10, image > 1)
    block.best.pending[:] = False
    found = block.result({})
    assert found.status == ("ok",) * 3
    assert torch.allclose(found.radius, radius)


def test_a_confirmed_point_beyond_the_spare_one_stays_where_the_spare_one_is_not_confirmed():
    images = torch.full((3, 1, 4, 4), 0.4)
    block = next(iter_blocks(Rounding().eval(), images))
    image, radius = torch.arange(3), torch.full((3,), 0.1, dtype=torch.float64)
    block.best.update(image, images + 0.05, radius, image >= 0)  # no mistake of the model
    block.best.keep()
    block.best.update(image, images + 0.11, 0.999 * radius, image >= 0)
    block.best.pending[:] = False
    found = block.result({})
    assert found.status == ("ok",) * 3
    assert torch.allclose(found.radius, torch.full((3,), 0.11, dtype=torch.float64))


def test_of_two_confirmed_points_the_nearer_stays_whatever_balls_hold_them():
    images = torch.full((3, 1, 4, 4), 0.4)
    block = next(iter_blocks(Rounding().eval(), images))
    image, radius = torch.arange(3), torch.full((3,), 0.13, dtype=torch.float64)
    block.best.update(image, images + 0.11, radius, image >= 0)
    block.best.keep()
    block.best.update(image, images + 0.12, 0.99 * radius, image >= 0)  # the smaller ball, but farther
    block.best.pending[:] = False
    assert torch.allclose(block.result({}).radius, torch.full((3,), 0.11, dtype=torch.float64))


def iter_blocks(model, images):
    problem = Problem(model, images, torch.zeros(len(images), dtype=torch.long), (0.25,), images[:2], 2)
    return problem.blocks(problem.access(), "linf")
