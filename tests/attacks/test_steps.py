"""Attacks at a radius: against Foolbox, and on linear models where the best point is known."""

import foolbox
import pytest
import torch

from palpate.attacks.losses import cross_entropy, margin
from palpate.attacks.norms import distance
from palpate.attacks.steps import apgd, fgsm, input_gradient, mim, pgd


def losses(model, images, labels):
    with torch.no_grad():
        return cross_entropy(model(images), labels)


@pytest.mark.parametrize("epsilon", [0.01, 0.05])
def test_pgd_is_foolbox_s_without_its_random_start(two, epsilon):
    model = two.model.requires_grad_(False)
    attack = foolbox.attacks.LinfPGD(steps=12, rel_stepsize=1 / 30, random_start=False)
    reference = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, expected, _ = attack(reference, two.images, two.labels, epsilons=epsilon)
    ours = pgd(model, two.images, two.labels, epsilon, steps=12, relative_step=1 / 30)
    assert (ours - expected).abs().max() < 1e-5


@pytest.mark.parametrize("attack", [fgsm, mim, pgd, apgd])
def test_on_a_linear_model_every_attack_fools_just_beyond_the_exact_radius(linear2, attack):
    for factor, fooled in ((0.99, False), (1.01, True)):
        epsilon = factor * linear2.radius  # one per image
        given = attack(linear2.model, linear2.images, linear2.labels, epsilon)
        assert (distance(given, linear2.images) <= epsilon).all()
        assert ((linear2.model(given).argmax(1) != linear2.labels) == fooled).all()


def test_l2_pgd_stays_in_its_ball_and_beats_a_random_direction(linear2):
    epsilon = 1.01 * linear2.radius_l2
    given = pgd(linear2.model, linear2.images, linear2.labels, epsilon, loss=margin, norm="l2")
    assert (distance(given, linear2.images, "l2") <= epsilon).all()
    assert (linear2.model(given).argmax(1) != linear2.labels).all()


def test_a_generator_repeats_and_none_starts_at_the_image(two):
    def run(seed):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return pgd(two.model, two.images, two.labels, 0.02, steps=3, generator=generator)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(run(None), run(None))


def test_apgd_raises_the_loss_at_least_as_far_as_pgd(five):
    model = five.model.requires_grad_(False)
    weak = losses(model, pgd(model, five.images, five.labels, 0.01, steps=20), five.labels)
    # Images that fall stop at once, so compare where neither attack succeeds: the loss is largest there.
    given = apgd(model, five.images, five.labels, 0.01, steps=20)
    strong, stands = losses(model, given, five.labels), model(given).argmax(1) == five.labels
    assert stands.any()
    assert (strong >= 0.95 * weak)[stands].all()
    assert (distance(given, five.images) <= 0.01).all()


def test_attacks_leave_the_model_alone(two):
    two.model.requires_grad_(True)
    two.model.zero_grad()
    before = [parameter.clone() for parameter in two.model.parameters()]
    pgd(two.model, two.images, two.labels, 0.02, steps=2)
    assert all(parameter.grad is None for parameter in two.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, two.model.parameters(), strict=True))


def test_input_gradient_is_each_image_s_own(five):
    _, values, gradient = input_gradient(five.model, five.images[:4], five.labels[:4], margin)
    _, value, alone = input_gradient(five.model, five.images[2:3], five.labels[2:3], margin)
    torch.testing.assert_close(values[2:3], value)
    torch.testing.assert_close(gradient[2:3], alone)
