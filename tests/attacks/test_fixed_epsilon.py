"""Attacks at one epsilon: against Foolbox, on linear models where the best point is known, and as sweeps."""

import foolbox
import pytest
import torch

import palpate
from palpate.attacks.apgd import APGD
from palpate.attacks.losses import margin
from palpate.attacks.norms import distance, random_start
from palpate.attacks.pgd import PGD, pgd
from palpate.attacks.square import Square


@pytest.mark.parametrize("epsilon", [0.01, 0.05])
def test_pgd_is_foolbox_s_without_its_random_start(two, epsilon):
    model = two.model.requires_grad_(False)
    attack = foolbox.attacks.LinfPGD(steps=12, rel_stepsize=2.5 / 12, random_start=False)
    reference = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, _ = attack(reference, two.images, two.labels, epsilons=epsilon)
    assert (pgd(model, two.images, two.labels, epsilon, steps=12) - expected).abs().max() < 1e-5


@pytest.mark.parametrize("steps", [1, 40])
def test_on_a_linear_model_pgd_fools_just_beyond_the_exact_radius(linear2, steps):
    for factor, fooled in ((0.99, False), (1.01, True)):
        epsilon = factor * linear2.radius  # one per image
        given = pgd(linear2.model, linear2.images, linear2.labels, epsilon, steps=steps)
        assert (distance(given, linear2.images) <= epsilon).all()
        assert ((linear2.model(given).argmax(1) != linear2.labels) == fooled).all()


def test_l2_pgd_stays_in_its_ball_and_beats_a_random_direction(linear2):
    epsilon = 1.01 * linear2.radius_l2
    given = pgd(linear2.model, linear2.images, linear2.labels, epsilon, loss=margin, norm="l2")
    assert (distance(given, linear2.images, "l2") <= epsilon).all()
    assert (linear2.model(given).argmax(1) != linear2.labels).all()


def test_one_generator_for_all_images_repeats_the_start(two):
    def run(seed):
        radius = torch.full((len(two.images),), 0.02)
        start = random_start(two.images, radius, torch.Generator().manual_seed(seed))
        return pgd(two.model, two.images, two.labels, 0.02, steps=3, start=start)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_pgd_leaves_the_model_alone(two):
    model = two.model.requires_grad_(True)
    model.zero_grad()
    before = [parameter.clone() for parameter in model.parameters()]
    pgd(model, two.images, two.labels, 0.02, steps=2)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_apgd_raises_the_loss_at_least_as_far_as_pgd(five):
    model, images, labels = five.model.requires_grad_(False), five.images, five.labels
    weak = palpate.sweep(model, images, labels, [0.03], PGD(steps=20))
    strong = palpate.sweep(model, images, labels, [0.03], APGD(steps=20))
    assert strong.robust_accuracy(0.03) <= weak.robust_accuracy(0.03)
    assert 0 < strong.robust_accuracy(0.03) < 1


@pytest.mark.parametrize(
    "attack",
    [
        PGD(steps=10),
        PGD(steps=10, loss="log-odds", norm="l2"),
        APGD(steps=20, norm="l2"),
        APGD(steps=20),
        Square(queries=100),
    ],
)
def test_a_sweep_at_fixed_epsilons_says_what_its_images_do(five, attack):
    grid = [0.01, 0.03, 0.1] if attack.norm == "linf" else [0.3, 1.0, 3.0]
    result = palpate.sweep(five.model, five.images, five.labels, grid, attack)
    found = result.radius.isfinite()
    assert torch.equal(five.model(result.adversarials).argmax(1) != five.labels, found)
    reached = distance(result.adversarials, five.images, attack.norm)
    torch.testing.assert_close(reached[found], result.radius[found], rtol=1e-12, atol=0)
    best = palpate.sweep(five.model, five.images, five.labels, grid, {"attack": "standard", "norm": attack.norm})
    for epsilon in grid:
        assert result.robust_accuracy(epsilon) >= best.robust_accuracy(epsilon) - 1 / 64
        assert (distance(result.images_at(epsilon), five.images, attack.norm) <= epsilon).all()
    assert result.robust_accuracy(grid[-1]) < result.robust_accuracy(0) - 0.05
    spent = result.passes.sum(1)
    assert spent[result.radius.argmin()] < spent[result.radius.argmax()]  # who is fooled costs nothing more


def test_a_start_depends_on_the_seed_and_the_image(five):
    def run(seed, count=8):
        return palpate.sweep(five.model, five.images[:count], five.labels[:count], [0.05], PGD(steps=1, seed=seed))

    assert torch.equal(run(1).adversarials, run(1).adversarials)
    assert not torch.equal(run(1).adversarials, run(2).adversarials)
    torch.testing.assert_close(run(1).adversarials[:4], run(1, 4).adversarials)


def test_images_without_a_number_are_failures(five):
    def spoiled(x):
        logits = five.model(x)
        return torch.where(x.mean((1, 2, 3))[:, None] > 0.502, float("nan"), logits)

    class Model(torch.nn.Module):
        def forward(self, x):
            return spoiled(x)

    bad = five.images.mean((1, 2, 3)) > 0.502
    assert 0 < bad.sum() < 64
    result = palpate.sweep(Model().eval(), five.images, five.labels, [1e-5], PGD(steps=2))
    assert [status == "failed" for status in result.status] == bad.tolist()
