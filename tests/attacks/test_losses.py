"""Losses against their formulas, and the saturation that makes cross-entropy useless for sure heads."""

import torch

from palpate.attacks.losses import certain_margin, cross_entropy, log_odds, margin, margin_towards, rounding_tolerance

LOGITS = torch.tensor([[4.0, 1.0, 2.5, 0.5], [0.0, 3.0, 1.0, 2.0]])
LABELS = torch.tensor([0, 2])


def test_margin_is_best_wrong_minus_true():
    assert margin(LOGITS, LABELS).tolist() == [-1.5, 2.0]


def test_the_margin_towards_a_target_or_to_the_best_wrong_class():
    assert margin_towards(LOGITS, LABELS, torch.tensor([3, 1])).tolist() == [-3.5, 2.0]
    assert margin_towards(LOGITS, LABELS, torch.tensor([-1, 3])).tolist() == [-1.5, 1.0]
    assert margin_towards(LOGITS, LABELS, torch.tensor([-1, -1])).tolist() == margin(LOGITS, LABELS).tolist()


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


def test_a_margin_counts_beyond_the_rounding_of_its_two_logits_and_of_no_other():
    step = 100 * torch.finfo(torch.float32).eps  # about a unit in the last place of 100
    logits, labels = torch.tensor([[100.0, 100.0 + step, 0.0], [100.0, 100.0, 0.0]]), torch.tensor([0, 0])
    assert (certain_margin(logits, labels) > 0).tolist() == [True, False]
    for low in (-50.0, -1e9, -float("inf")):
        logits[:, 2] = low
        assert (certain_margin(logits, labels) > 0).tolist() == [True, False]


def test_a_true_class_at_minus_infinity_is_fooled_for_certain():
    assert certain_margin(torch.tensor([[float("-inf"), 0.0]]), torch.tensor([0])) == float("inf")
    assert rounding_tolerance(torch.tensor([[float("-inf"), 2.0]]), torch.tensor([0])) == 2.0**-23
