"""The planted museum: what is planted is caught by a check that names the cause, what is honest is not accused.

A few exhibits that need no training of their own are tried always, all of them over seeds when asked for; `benchmarks/trust.py` prints the matrix.
"""

import pytest
import torch
from tests.verdicts.known_failures.exhibits import EXHIBITS, HONEST, PLANTED, Exhibit, caught, examine
from tests.verdicts.known_failures.workshop import EPSILONS, Workshop

from palpate.attacks.foolbox_pgd import foolbox_pgd
from palpate.attacks.losses import margin
from palpate.models.predict import predict_logits
from palpate.verdicts.api import trust

QUICK = (
    "saturated head",
    "input quantisation",
    "stale train mode",
    "double softmax",
    "hidden step",
    "zero steps",
    "plain",
)


@pytest.fixture(scope="module")
def shop() -> Workshop:
    """Phantoms and little training, so that it works everywhere and at once."""
    return Workshop(0, "skin", train_images=900, epochs=8)


def test_the_museum_is_as_large_as_it_must_be_and_halved():
    assert len(PLANTED) >= 12
    assert len(HONEST) >= 6
    assert len({exhibit.name for exhibit in EXHIBITS}) == len(EXHIBITS)
    for exhibits in (PLANTED, HONEST):
        in_a = sum(exhibit.half == "A" for exhibit in exhibits)
        assert abs(2 * in_a - len(exhibits)) <= 1
    assert all(exhibit.source for exhibit in PLANTED)


@pytest.mark.parametrize("exhibit", [e for e in EXHIBITS if e.name in QUICK], ids=lambda exhibit: exhibit.name)
def test_quick_exhibits(shop: Workshop, exhibit: Exhibit):
    verdicts = examine(exhibit, shop)
    failed = [verdict.name for verdict in verdicts if verdict.status == "fail"]
    assert caught(exhibit, verdicts) if exhibit.planted else not failed
    assert sum(sum(verdict.passes) for verdict in verdicts) <= 500 * 64


def test_the_paper_s_own_attack_overstates_a_saturated_head_by_what_the_verdict_says(shop: Workshop):
    """Foolbox' PGD, as the paper ran it, against PGD on the margin, on a head scaled to a median margin of 1,000 logits."""
    model, _ = PLANTED[0].make(shop)
    right = -margin(predict_logits(model, shop.x), shop.y)
    assert float(right.median()) == pytest.approx(1000, rel=0.02)
    epsilon = EPSILONS[-1]
    batches = foolbox_pgd(model, shop.x, shop.y, [epsilon], 20)
    reported = torch.cat([predict_logits(model, batch[0]).argmax(1) == shop.y[place] for place, batch in batches])
    verdict = {verdict.name: verdict for verdict in trust(model, shop.x, shop.y, [epsilon])}["margin loss"]
    assert verdict.status == "fail"
    assert verdict.figure is not None
    assert verdict.figure >= 20
    assert "saturated (median clean margin" in verdict.advice
    # The verdict's own cross-entropy PGD reports what Foolbox does, within the noise of the start.
    truth = 100 * float(reported.float().mean()) - verdict.figure
    assert -10 <= truth <= 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_everything_planted_is_caught_and_nothing_honest_accused(seed: int):
    shop = Workshop(seed, "skin", train_images=1500)
    for exhibit in EXHIBITS:
        verdicts = examine(exhibit, shop)
        failed = {verdict.name: verdict.advice for verdict in verdicts if verdict.status == "fail"}
        assert caught(exhibit, verdicts) if exhibit.planted else not failed, (exhibit.name, failed)
