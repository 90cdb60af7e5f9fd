"""What is known of each image is forgotten for an independent search, and the smaller radius stays."""

import pytest
import torch

from palpate.attacks.best import Best

INF = float("inf")


def known() -> Best:
    """Images 0 to 3: a radius of .2, wrong when clean, nothing found, and a radius of .4."""
    best = Best(torch.zeros(4, 1, 1, 1))
    best.limit = torch.tensor([0.2, 0.0, INF, 0.4], dtype=torch.float64)
    best.points = best.limit.float().nan_to_num(0.0, 0.0)[:, None, None, None]
    return best


def offer(best: Best, image: int, radius: float) -> None:
    best.update(
        torch.tensor([image]),
        torch.full((1, 1, 1, 1), radius),
        torch.tensor([radius], dtype=torch.float64),
        torch.tensor([True]),
    )


def test_an_independent_search_sees_its_own_radii_alone_and_the_smaller_ones_stay():
    best = known()
    with best.independent(torch.arange(4)):
        assert best.limit.tolist() == [INF, 0.0, INF, INF]
        offer(best, 0, 0.3)  # above what was known
        assert best.limit[0] == 0.3
        offer(best, 3, 0.1)
        offer(best, 2, 0.5)
    assert best.limit.tolist() == [0.2, 0.0, 0.5, 0.1]
    assert torch.allclose(best.points.flatten(), torch.tensor([0.2, 0.0, 0.5, 0.1]))


def test_images_that_are_not_named_keep_their_radii_throughout():
    best = known()
    with best.independent(torch.tensor([3])):
        assert best.limit.tolist() == [0.2, 0.0, INF, INF]
    assert best.limit.tolist() == [0.2, 0.0, INF, 0.4]


def test_an_interrupt_loses_nothing():
    best = known()
    with pytest.raises(KeyboardInterrupt), best.independent(torch.arange(4)):
        offer(best, 3, 0.1)
        raise KeyboardInterrupt
    assert best.limit.tolist() == [0.2, 0.0, INF, 0.1]


def test_all_that_was_known_is_kept():
    best = known()
    best.keep()
    offer(best, 3, 0.397)
    best.keep()
    assert [limit.tolist() for limit, _ in best.spare] == [[0.2, 0.0, INF, 0.4], [0.2, 0.0, INF, 0.397]]
    for limit, points in best.spare:
        assert torch.allclose(points.flatten(), limit.float().nan_to_num(0.0, 0.0, 0.0))
