"""Losses against their formulas, and the saturation that makes cross-entropy useless for sure heads."""

import pytest
import torch

from palpate.attacks.losses import (
    confident_margin,
    cross_entropy,
    dlr,
    log_odds,
    margin,
    margin_towards,
    sure_margin,
    targeted_dlr,
    targeted_margin,
)

LOGITS = torch.tensor([[4.0, 1.0, 2.5, 0.5], [0.0, 3.0, 1.0, 2.0]])
LABELS = torch.tensor([0, 2])


def test_margin_is_best_wrong_minus_true():
    assert margin(LOGITS, LABELS).tolist() == [-1.5, 2.0]


def test_dlr_divides_by_first_minus_third():
    torch.testing.assert_close(dlr(LOGITS, LABELS), torch.tensor([-1.5 / 3, 2.0 / 2]))


def test_dlr_does_not_see_scale_or_shift():
    torch.testing.assert_close(dlr(7 * LOGITS - 3, LABELS), dlr(LOGITS, LABELS))


def test_targeted_losses():
    targets = torch.tensor([3, 1])
    assert targeted_margin(LOGITS, LABELS, targets).tolist() == [-3.5, 2.0]
    expected = torch.tensor([-3.5 / (4 - 0.75), 2.0 / (3 - 0.5)])
    torch.testing.assert_close(targeted_dlr(LOGITS, LABELS, targets), expected)
    assert margin_towards(LOGITS, LABELS, torch.tensor([-1, 3])).tolist() == [-1.5, 1.0]


def test_dlr_needs_three_classes():
    with pytest.raises(ValueError, match=r"at least 3 classes.*use margin"):
        dlr(LOGITS[:, :2], torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="at least 4 classes"):
        targeted_dlr(LOGITS[:, :3], LABELS, LABELS)


def test_cross_entropy_saturates_where_the_margin_does_not():
    def slope(loss) -> float:
        logits = torch.tensor([[500.0, -500.0]], requires_grad=True)
        loss(logits, torch.tensor([0])).sum().backward()
        assert logits.grad is not None
        return logits.grad.abs().max().item()

    assert slope(cross_entropy) == 0
    assert slope(margin) == 1


def test_cross_entropy_is_the_softplus_of_the_log_odds():
    torch.testing.assert_close(torch.nn.functional.softplus(log_odds(LOGITS, LABELS)), cross_entropy(LOGITS, LABELS))


def test_margins_within_rounding_are_not_believed():
    near = torch.tensor([[100.0, 100.0001], [100.0, 101.0]])
    value, sure = confident_margin(near, torch.tensor([0, 0]))
    assert (value > 0).all()
    assert sure.tolist() == [False, True]
    assert (sure_margin(near, torch.tensor([0, 0])) > 0).tolist() == [False, True]
