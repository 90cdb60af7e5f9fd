"""Blocks: at no time more than one in memory, the same results however large they are, and the model left alone in between."""

import numpy as np
import pytest
import torch

import palpate
from palpate.attacks.api import sweep_blocks
from palpate.core.errors import InputError

GRID = [0.005, 0.02, 0.08]
ATTACKS = ["fast", "max-loss", {"attack": "foolbox-pgd", "steps": 4, "batch_size": 8}, {"attack": "pgd", "steps": 4}]


class Lazy:
    """Images that are only ever given in slices, and how long the longest was."""

    def __init__(self, images):
        self.images, self.largest, self.given = images, 0, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        part = self.images[index]
        self.largest, self.given = max(self.largest, len(part)), self.given + len(part)
        return part


@pytest.mark.parametrize("attack", ATTACKS)
def test_only_a_block_is_ever_read_and_no_image_twice(five, attack):
    lazy, sizes = Lazy(five.images[:40]), []
    whole = palpate.sweep(five.model, five.images[:40], five.labels[:40], GRID, attack)
    for place, part in sweep_blocks(five.model, lazy, five.labels[:40], GRID, attack, block=16):
        assert torch.equal(part.images, five.images[place])
        torch.testing.assert_close(part.radius, whole.radius[place], rtol=1e-5, atol=1e-7)
        assert torch.equal(part.labels, five.labels[place])
        sizes.append(len(part))
    assert sum(sizes) == 40
    assert max(sizes) <= lazy.largest <= 16
    assert lazy.given == 40 + 2  # two more on which the model is tried


@pytest.mark.parametrize(
    "attack", [*ATTACKS, "ensemble", {"attack": "square", "queries": 20}, {"attack": "apgd", "steps": 5}]
)
def test_in_float64_the_block_does_not_change_a_bit(linear7, attack):
    count = 6 if attack == "ensemble" else 20
    model, images, labels = linear7.model, linear7.images[:count], linear7.labels[:count]
    whole = palpate.sweep(model, images, labels, GRID, attack)
    for size in (5, 100):
        parts = [part for _, part in sweep_blocks(model, images, labels, GRID, attack, block=size)]
        assert torch.equal(torch.cat([part.radius for part in parts]), whole.radius)
        assert torch.equal(torch.cat([part.adversarials for part in parts]), whole.adversarials)
        assert torch.equal(torch.cat([part.passes for part in parts]), whole.passes)
        if whole.worst is not None:
            assert torch.equal(torch.cat([part.worst for part in parts], 1), whole.worst)


def test_a_sweep_of_a_sequence_reads_it_in_slices(five):
    lazy = Lazy(five.images[:40])
    whole = palpate.sweep(five.model, five.images[:40], five.labels[:40], GRID, "fast", batch_size=2)
    result = palpate.sweep(five.model, lazy, five.labels[:40], GRID, "fast", batch_size=2)
    assert torch.equal(whole.radius, result.radius)
    assert lazy.largest <= 16  # eight batches at a time


@pytest.mark.parametrize("attack", ["fast", "max-loss", {"attack": "foolbox-pgd", "steps": 2}])
def test_images_that_are_not_kept_are_not_given(five, attack):
    for _, part in sweep_blocks(five.model, five.images[:8], five.labels[:8], GRID, attack, keep="radius"):
        assert part.adversarials is None
        assert part.worst is None
    result = palpate.sweep(five.model, five.images[:8], five.labels[:8], GRID, attack, keep="radius")
    assert torch.equal(result.radius, palpate.sweep(five.model, five.images[:8], five.labels[:8], GRID, attack).radius)


def test_arrays_are_images_too(five):
    array = five.images[:6].numpy()
    expected = palpate.sweep(five.model, five.images[:6], five.labels[:6], GRID, "fast")
    locked = array.copy()
    locked.flags.writeable = False
    for images in (array, locked):
        result = palpate.sweep(five.model, images, five.labels[:6], GRID, "fast")
        assert torch.equal(result.radius, expected.radius)
        assert torch.equal(result.images_at(0.02), expected.images_at(0.02))
    with pytest.raises(InputError, match="float32 or float64"):
        palpate.sweep(five.model, (array * 255).astype(np.uint8), five.labels[:6], GRID)


def test_between_blocks_the_model_is_as_it_was(five):
    model = five.model.requires_grad_(True)
    for _ in sweep_blocks(model, five.images[:12], five.labels[:12], GRID, "fast", block=4):
        assert all(parameter.requires_grad for parameter in model.parameters())
        model(five.images[:2]).sum().backward()
    model.zero_grad()


def test_ctrl_c_gives_what_is_finished_and_then_goes_on_to_the_caller(five):
    def stop(done, total, words):
        if done >= 20:
            raise KeyboardInterrupt

    parts = []
    with pytest.raises(KeyboardInterrupt):
        for _, part in sweep_blocks(
            five.model, five.images, five.labels, GRID, "fast", block=16, batch_size=4, progress=stop
        ):
            parts.append(part)
    assert [len(part) for part in parts] == [16, 16]
    assert parts[0].done.all()
    assert 0 < parts[1].done.sum() < 16


def test_a_block_is_smaller_than_a_batch_where_it_is_asked_for(five):
    seen = []
    hook = five.model.register_forward_pre_hook(lambda module, arguments: seen.append(len(arguments[0])))
    try:
        list(
            sweep_blocks(
                five.model, five.images[:9], five.labels[:9], GRID, {"attack": "foolbox-pgd", "steps": 1}, block=3
            )
        )
    finally:
        hook.remove()
    assert max(seen) == 9  # the draws of Foolbox depend on its batch, which is a setting of that attack
