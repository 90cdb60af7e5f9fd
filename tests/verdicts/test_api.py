"""`trust`: every check answers whatever it is given, the budget holds, and the model is left as it was."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch
from tests.verdicts.helpers import Net, by_name, sane
from tests.verdicts.linear import EPSILONS, SIZE, Line, claim, images
from torch import nn

import palpate
from palpate.attacks.minimum_norm import MinimumNorm
from palpate.core.errors import InputError
from palpate.core.records import summarise_verdicts
from palpate.verdicts.api import trust
from palpate.verdicts.check import checks


class Cast(nn.Module):
    """Logits as bfloat16."""

    def forward(self, z):
        return z.bfloat16()


COUNT = sum(check.threshold is not None for check in checks())


def test_a_line_passes_every_check():
    x, y, _ = images(20, (0.012, 0.1))
    verdicts = trust(Line(0.5).eval(), x, y, EPSILONS)  # half: no margin near 17 logits, where cross-entropy saturates
    sane(verdicts)
    assert not [verdict.name for verdict in verdicts if verdict.status in ("fail", "warn")]
    assert [verdict.name for verdict in verdicts if verdict.status == "not run"] == [
        "ball and box",
        "transfer",
        "independent attacks",
    ]
    assert summarise_verdicts(verdicts) == f"no failure detected by {COUNT - 3} of {COUNT} checks, 3 not run"


def test_equal_seeds_give_equal_verdicts_and_torchs_own_state_is_left():
    x, y, _ = images(20, (0.012, 0.1))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = trust(Line().eval(), x, y, EPSILONS, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert trust(Line().eval(), x, y, EPSILONS, seed=3) == first


def test_modes_flags_buffers_and_gradients_are_put_back():
    model = Net()
    model.norm.eval()
    model.line.weight.requires_grad_(False)
    model.norm.weight.grad = torch.ones(3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    x, y, _ = images()
    found = by_name(trust(model, x, y, EPSILONS))
    assert found["mode and logits"].status == "fail"  # the dropout was left on
    assert [model.training, model.norm.training, model.drop.training] == [True, False, True]
    assert not model.line.weight.requires_grad
    assert model.norm.weight.requires_grad
    assert torch.equal(model.norm.weight.grad, torch.ones(3))
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("budget", [0, 1, 100, 1000, 3000, 6000])
def test_the_budget_is_kept_and_what_does_not_fit_says_so(budget):
    passed = 0

    class Watched(Line):
        def forward(self, x):
            nonlocal passed
            passed += len(x)
            return super().forward(x)

    x, y, _ = images(12, (0.05, 0.1))
    verdicts = trust(Watched().eval(), x, y, EPSILONS, budget=budget, sibling=Watched())
    sane(verdicts)
    forward, backward = (
        sum(getattr(verdict, f"passes_{side}") for verdict in verdicts) for side in ("forward", "backward")
    )
    assert forward == passed
    assert forward + backward <= budget
    unaffordable = [verdict for verdict in verdicts if "passes" in verdict.advice and verdict.status == "not run"]
    assert bool(unaffordable) == (budget < 6000)
    for verdict in unaffordable:
        assert "raise budget" in verdict.advice


def test_the_default_budget_fits_every_check_on_the_most_expensive_model():
    """Nothing ever falls, so that every attack goes its whole way on every image."""

    class Wall(Line):
        def forward(self, x):
            return super().forward(x.detach().round() + (x - x.detach()) * 1e-9)

    x, y = torch.full((70, 3, SIZE, SIZE), 0.1), torch.zeros(70, dtype=torch.long)
    model = Wall().eval()
    with torch.no_grad():
        model.weight.fill_(1.0)
    infinite = torch.full((70,), torch.inf, dtype=torch.float64)
    sweep = claim(x, y, infinite, x.clone()).sweep
    verdicts = trust(model, x, y, (0.01, 0.02, 0.05, 0.08), sweep, sibling=Line())
    spent = sum(verdict.passes_forward + verdict.passes_backward for verdict in verdicts)
    assert spent <= 500 * 64
    assert not [verdict.name for verdict in verdicts if "raise budget" in verdict.advice]


def test_an_expensive_sweep_raises_the_default_budget():
    x, y, _ = images(6)
    told = []
    for passes in (1, 10**6):
        sweep = claim(x, y, torch.full((6,), torch.inf, dtype=torch.float64), x.clone()).sweep
        sweep = dataclasses.replace(sweep, passes=torch.full((6, 2), passes))
        trust(Line(), x, y, EPSILONS, sweep, progress=lambda done, total, name: told.append((done, total)))
    totals = {total for _, total in told}
    assert totals == {500 * 6, 12 * 10**6 // 4}
    assert all(0 <= done <= total for done, total in told)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(3)}, "labels"),
        ({"labels": torch.zeros(0), "images": torch.zeros(0, 3, 8, 8)}, "images"),
        ({"epsilons": []}, "epsilons"),
        ({"epsilons": [8]}, "8/255"),
        ({"epsilons": ["nonsense"]}, "epsilon"),
        ({"budget": -1}, "budget"),
    ],
)
def test_mistakes_are_named_before_any_pass(change, message):
    class Never(Line):
        def forward(self, x):
            raise AssertionError

    x, y, _ = images()
    arguments = {"images": x, "labels": y, "epsilons": EPSILONS, **change}
    with pytest.raises(InputError, match=message):
        trust(Never(), **arguments)


def test_a_sweep_of_other_images_is_not_compared():
    x, y, _ = images(12)
    sweep = claim(x[:6], y[:6], torch.full((6,), 0.03, dtype=torch.float64), None).sweep
    found = by_name(trust(Line().eval(), x, y, EPSILONS, sweep))
    for name in ("ball and box", "noise", "square", "independent attacks"):
        assert found[name].subject == "result"
        assert found[name].status == "not run"
        assert "other images (6" in found[name].advice
    assert found["margin loss"].status == "pass"


def test_a_sweep_in_another_norm_is_audited_and_not_compared():
    x, y, _ = images(12)
    sweep = claim(x, y, torch.full((12,), torch.inf, dtype=torch.float64), x.clone()).sweep
    found = by_name(trust(Line().eval(), x, y, EPSILONS, dataclasses.replace(sweep, norm="l2")))
    assert found["ball and box"].status == "pass"
    assert "in l2" in found["square"].advice
    with pytest.raises(InputError, match="'l2', that of the sweep"):
        trust(Line().eval(), x, y, EPSILONS, dataclasses.replace(sweep, norm="l2"), norm="linf")


def test_at_most_64_images_are_taken_each_class_in_proportion_and_by_slices_only():
    x, y, _ = images(200, (0.02, 0.06))
    y = torch.where(torch.arange(200) < 180, 0, 1)
    taken = []

    class Lazy:
        def __len__(self):
            return len(x)

        def __getitem__(self, index):
            assert isinstance(index, slice)
            taken.append(index.start)
            return x[index]

    verdicts = trust(Line().eval(), Lazy(), torch.as_tensor(np.asarray(y)), EPSILONS, budget=200)
    sane(verdicts)
    assert len(taken) == len(set(taken)) == 64
    rare = sum(start >= 180 for start in taken)
    assert 6 <= rare <= 7  # a tenth of 64


def test_a_finding_of_a_multi_label_head_is_examined_as_its_sweep_was():
    class Heads(Line):
        """Three findings; the second is the line's, the others are always present."""

        def forward(self, x):
            score = super().forward(x)[:, 1]
            return torch.stack([torch.full_like(score, 9.0), 0.5 * score, torch.full_like(score, 7.0)], 1)

    x, y, exact = images(20, (0.012, 0.1))
    labels = torch.stack([torch.ones_like(y), y, torch.ones_like(y)], 1)
    model = Heads().eval()
    sweep = palpate.sweep(model, x, labels, EPSILONS, finding=1)
    torch.testing.assert_close(sweep.radius[exact < 0.079], exact[exact < 0.079], rtol=0.01, atol=0)
    verdicts = trust(model, x, labels, EPSILONS, sweep, finding=1, expect=1.0)
    sane(verdicts)
    assert not [verdict.name for verdict in verdicts if verdict.status in ("fail", "warn")]
    assert [verdict.name for verdict in verdicts if verdict.status == "not run"] == ["transfer"]


def test_an_l2_sweep_is_examined_in_l2():
    x, y, _ = images(20, (0.012, 0.1))
    epsilons = tuple(epsilon * 192**0.5 for epsilon in EPSILONS)
    model = Line(0.5).eval()
    sweep = palpate.sweep(model, x, y, epsilons, {"attack": "standard", "norm": "l2"})
    verdicts = trust(model, x, y, epsilons, sweep)
    sane(verdicts)
    assert not [verdict.name for verdict in verdicts if verdict.status in ("fail", "warn")]
    found = by_name(verdicts)
    assert found["independent attacks"].status == "pass"
    assert "in linf" in found["square"].advice
    doubled = dataclasses.replace(sweep, radius=2 * sweep.radius)
    assert by_name(trust(model, x, y, epsilons, doubled))["independent attacks"].status == "fail"


@pytest.mark.parametrize(
    ("change", "message"), [({"expect": 95}, "expect"), ({"draws": 0}, "draws"), ({"norm": "l7"}, "norm")]
)
def test_settings_that_cannot_be_used_are_named(change, message):
    x, y, _ = images()
    with pytest.raises(InputError, match=message):
        trust(Line(), x, y, EPSILONS, **change)


def test_it_takes_every_option_of_a_sweep_and_of_the_attacks():
    """But what a sweep keeps, and the images that patches and universal perturbations learn from."""
    taken = inspect.signature(trust).parameters
    options = set(inspect.signature(palpate.sweep).parameters) | set(MinimumNorm.model_fields)
    assert options - taken.keys() == {"attack", "keep", "training", "strength", "precision"}
    for name in ("norm", "channels", "levels", "draws", "targets"):  # as the sweep's, unless they are given
        assert taken[name].default is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"levels": 1}, "levels must be a whole number of at least 2"),
        ({"levels": 256, "norm": "l2"}, "levels go with norm 'linf' only"),
        ({"levels": 256}, "images must hold values k / 255"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"draws": 0}, "draws must be a whole number of at least 1"),
        ({"budget": -1}, "budget must be a whole number of at least 0"),
        ({"sibling": 5}, "model must be a torch.nn.Module"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_pass(given, message):
    x, y, _ = images()
    with pytest.raises(InputError, match=message):
        trust(Line(), x, y, EPSILONS, **given)


def test_a_sibling_that_fails_leaves_one_check_not_run():
    class Broken(Line):
        def forward(self, x):
            raise RuntimeError("no weights")

    x, y, _ = images()
    alone, beside = (by_name(trust(Line(0.5), x, y, EPSILONS, sibling=other)) for other in (None, Broken()))
    assert beside["transfer"].status == "not run"
    assert "no weights" in beside["transfer"].advice
    assert {n: v for n, v in alone.items() if n != "transfer"} == {n: v for n, v in beside.items() if n != "transfer"}


def test_images_per_pass_are_at_most_as_asked():
    seen = []

    class Counted(Line):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    x, y, _ = images(20)
    trust(Counted(), x, y, EPSILONS, batch_size=5, budget=500)
    assert max(seen) == 5


def test_half_precision_answers_are_examined_like_others():
    x, y, _ = images(20, (0.012, 0.1))
    model = Line(0.5)
    half = nn.Sequential(model, Cast())
    assert not [v.advice for v in trust(half, x, y, EPSILONS) if "broke this check" in v.advice]
