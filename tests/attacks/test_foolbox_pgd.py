"""The reference attack is Foolbox itself: the same numbers as a direct call, and nothing left behind."""

import foolbox
import pytest
import torch
from torch import nn

from palpate.attacks.foolbox_pgd import foolbox_pgd

EPSILONS = [0.01, 0.03, 0.1]


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


def test_the_images_equal_a_direct_call(model):
    images, labels = torch.rand(10, 3, 8, 8), torch.arange(10) % 3
    ours = torch.cat([batch for _, batch in foolbox_pgd(model, images, labels, EPSILONS, 7, batch_size=4, seed=5)], 1)
    torch.manual_seed(5)
    attack = foolbox.attacks.LinfPGD(steps=7)
    reference = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs = [
        attack(reference, images[start : start + 4], labels[start : start + 4], epsilons=EPSILONS)[1]
        for start in (0, 4, 8)
    ]
    expected = torch.cat([torch.stack(batch) for batch in theirs], 1)
    assert torch.equal(ours, expected)
    assert (ours - images).abs().amax((0, 2, 3, 4)).min() > 0


def test_other_draws_between_batches_change_nothing(model):
    images, labels = torch.rand(6, 3, 8, 8), torch.zeros(6, dtype=torch.long)

    def attack(disturb: bool) -> torch.Tensor:
        parts = []
        for _, batch in foolbox_pgd(model, images, labels, EPSILONS, 3, batch_size=2):
            if disturb:
                torch.rand(100)
            parts.append(batch)
        return torch.cat(parts, 1)

    assert torch.equal(attack(False), attack(True))


def test_the_generator_the_mode_and_the_parameters_are_left_as_they_were(model):
    model.train()
    images, labels = torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.long)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = torch.get_rng_state()
    list(foolbox_pgd(model, images, labels, [0.1], 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert not model._forward_hooks


def test_passes_are_counted(model):
    told = []
    images, labels = torch.rand(5, 3, 8, 8), torch.zeros(5, dtype=torch.long)
    list(foolbox_pgd(model, images, labels, EPSILONS, 4, 2, progress=lambda done, total, _: told.append((done, total))))
    assert told[-1] == (5 * 3 * 5, 5 * 3 * 5)
