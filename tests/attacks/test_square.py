"""Square needs no gradient, stays in its ball, and an image's search does not depend on its batch."""

import torch

from palpate.attacks.losses import margin
from palpate.attacks.norms import distance, seeded
from palpate.attacks.square import random_squares


def draws(count):
    return [seeded(7, place, 1) for place in range(count)]


def ask_about(problem, counter=None):
    def ask(points, rows):
        if counter is not None:
            counter.add_(torch.bincount(rows, minlength=len(counter)))
        with torch.no_grad():
            return margin(problem.model(points), problem.labels[rows])

    return ask


def test_margins_rise_with_queries_within_the_ball(linear2):
    radius = linear2.radius * 1.5
    few, margins_few = random_squares(ask_about(linear2), linear2.images, radius, 5, draws(40))
    counter = torch.zeros(len(radius), dtype=torch.long)
    many, margins = random_squares(ask_about(linear2, counter), linear2.images, radius, 400, draws(40))
    for points in (few, many):
        assert (distance(points, linear2.images) <= radius).all()
    assert (margins_few <= 0).any()
    assert margins.mean() > margins_few.mean()
    assert (margins > 0).double().mean() > (margins_few > 0).double().mean()
    assert counter.max() <= 400
    assert (counter[margins > 0] < 400).any()  # whoever is fooled is asked no more


def test_below_the_exact_radius_nothing_is_found(linear2):
    _, margins = random_squares(ask_about(linear2), linear2.images, 0.99 * linear2.radius, 200, draws(40))
    assert (margins <= 0).all()


def test_an_image_alone_gets_the_same_result(linear2):
    radius = linear2.radius
    whole, _ = random_squares(ask_about(linear2), linear2.images, radius, 30, draws(40))

    def ask(points, rows):
        return margin(linear2.model(points), linear2.labels[5:6][rows])

    alone, _ = random_squares(ask, linear2.images[5:6], radius[5:6], 30, draws(40)[5:6])
    assert torch.equal(whole[5:6], alone)
