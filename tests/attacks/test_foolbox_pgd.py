"""The reference attack is Foolbox itself: the same numbers as a direct call, and nothing left behind."""

import sys

import foolbox
import pytest
import torch
from torch import nn

import palpate
from palpate.attacks.api import sweep_blocks
from palpate.attacks.foolbox_pgd import FoolboxPGD
from palpate.attacks.norms import distance
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError

EPSILONS = [0.01, 0.03, 0.1]


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(10, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def directly(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epsilons: list[float], steps: int, batch: int
):
    """Foolbox's images (E, N, C, H, W) and its own word on which of them fool (E, N), batch after batch."""
    attack, reference = foolbox.attacks.LinfPGD(steps=steps), foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    made, fooled = [], []
    for part in torch.arange(len(images)).split(batch):
        _, clipped, success = attack(reference, images[part], labels[part], epsilons=epsilons)
        made.append(torch.stack(clipped))
        fooled.append(success)
    return torch.cat(made, 1), torch.cat(fooled, 1)


def test_images_and_accuracy_equal_a_direct_call(model, images):
    labels = model(images).argmax(1)
    ours = palpate.sweep(model, images, labels, EPSILONS, FoolboxPGD(steps=7, batch_size=4, seed=5))
    torch.manual_seed(5)
    made, fooled = directly(model, images, labels, EPSILONS, 7, 4)
    assert torch.equal(ours.worst, made)
    assert (ours.worst - images).abs().amax((0, 2, 3, 4)).min() > 0
    assert 0 < fooled.double().mean() < 1
    for epsilon, now in zip(EPSILONS, fooled, strict=True):
        assert ours.robust_accuracy(epsilon) == pytest.approx(1 - now.double().mean().item())
        assert torch.equal(model(ours.images_at(epsilon)).argmax(1) != labels, now)
    assert (distance(ours.adversarials, images)[ours.radius.isfinite()] <= 0.1 + 1e-6).all()


def test_every_epsilon_counts_as_foolbox_counts_it(tmp_path):
    """On a network that masks its gradient, larger epsilons fool fewer images; images wrong when clean may be right again; and a norm that is read
    back in float32 is above the nominal epsilon."""

    class Wavy(nn.Module):
        def forward(self, x):
            return torch.stack([torch.sin(25 * x.flatten(1)).sum(1), 0.7 * torch.cos(9 * x.flatten(1)).sum(1)], 1)

    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(40) % 2
    epsilons = [0.01, 0.02, 0.04, 0.08, 0.16, 0.3]
    ours = palpate.sweep(Wavy().eval(), images, labels, epsilons, FoolboxPGD(steps=5, batch_size=16))
    torch.manual_seed(0)
    _, fooled = directly(Wavy().eval(), images, labels, epsilons, 5, 16)
    assert (fooled[:-1] & ~fooled[1:]).any()
    assert torch.equal(ours.fooled, fooled)
    expected = (1 - fooled.double().mean(1)).tolist()
    assert [ours.robust_accuracy(epsilon) for epsilon in epsilons] == pytest.approx(expected)
    again = Sweep.load(ours.save(tmp_path / "ours.npz"), images)
    assert [again.robust_accuracy(epsilon) for epsilon in epsilons] == pytest.approx(expected)
    assert torch.equal(again.first(5).fooled, fooled[:, :5])
    assert f"{expected[-1]:.3f}" in str(ours)


def test_other_draws_between_batches_change_nothing(model, images):
    def attack(disturb: bool) -> torch.Tensor:
        parts = []
        for _, part in sweep_blocks(model, images, [0] * 10, EPSILONS, FoolboxPGD(steps=3, batch_size=2)):
            if disturb:
                torch.rand(100)
            parts.append(part.worst)
        return torch.cat(parts, 1)

    assert torch.equal(attack(False), attack(True))


def test_the_generator_the_mode_and_the_parameters_are_left_as_they_were(model, images):
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = torch.get_rng_state()
    palpate.sweep(model, images, [0] * 10, [0.1], FoolboxPGD(steps=2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert not model._forward_hooks


def test_passes_are_counted_and_progress_ends_at_all_images(model, images):
    told, seen = [], []
    hook = model.register_forward_hook(lambda module, arguments, output: seen.append(len(output)))
    attack = FoolboxPGD(steps=4, batch_size=4)
    result = palpate.sweep(
        model, images, [0] * 10, EPSILONS, attack, progress=lambda done, total, _: told.append((done, total))
    )
    hook.remove()
    assert result.passes.tolist() == [[15, 12]] * 10
    # Predicted again, with the clean gradient once; and the model tried on two images for its output, twice for repetition, for probabilities,
    # for a gradient, and for batches.
    judging = (len(EPSILONS) + 2) * 10 + 2 * (1 + 2 + 3 + 1) + (3 + 3 + 2)
    assert sum(seen) == 15 * 10 + judging
    assert told == sorted(told)
    assert told[-1] == (10, 10)


def test_the_minimum_norm_attack_is_nowhere_weaker(two):
    result = palpate.sweep(two.model, two.images[:8], two.labels[:8], [0.1, 0.3], FoolboxPGD(steps=30))
    ours = palpate.sweep(two.model, two.images[:8], two.labels[:8], [0.1, 0.3])
    assert (ours.radius <= result.radius).all()
    assert result.radius.isfinite().any()
    fooled = two.model(result.adversarials).argmax(1) != two.labels[:8]
    assert torch.equal(fooled, result.radius.isfinite())


def test_its_batches_are_its_own_setting(model, images):
    with pytest.raises(InputError, match=r"batch_size is a setting of foolbox-pgd itself.*FoolboxPGD\(batch_size=5\)"):
        palpate.sweep(model, images, [0] * 10, EPSILONS, "foolbox-pgd", batch_size=5)


def test_without_foolbox_the_extra_is_named(model, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(InputError, match=r"pip install \"palpate\[foolbox\]\""):
        palpate.sweep(model, images, [0] * 10, EPSILONS, "foolbox-pgd")
