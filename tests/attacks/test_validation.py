"""What cannot be attacked is refused with the remedy, what cannot be trusted is warned of."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import palpate
from palpate.attacks.api import sweep_blocks
from palpate.core.epsilon import epsilon_grid
from palpate.core.errors import InputError

GRID = [0.01, 0.05]


def refuse(problem, message, model=None, images=None, labels=None, epsilons=GRID, **settings):
    with pytest.raises(InputError, match=message):
        palpate.sweep(
            problem.model if model is None else model,
            problem.images[:4] if images is None else images,
            problem.labels[:4] if labels is None else labels,
            epsilons,
            **settings,
        )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(4, 3, 16, 16, dtype=torch.uint8), r"float32 or float64.*uint8.*/ 255"),
        (torch.zeros(4, 3, 16, 16, dtype=torch.float16), r"float32 or float64"),
        (torch.full((4, 3, 16, 16), 200.0), r"\[0, 1\].*200.*divide grey levels by 255"),
        (torch.full((4, 3, 16, 16), -1.5), r"\[0, 1\].*-1.5.*palpate.wrap"),
        (torch.full((4, 3, 16, 16), float("nan")), r"\[0, 1\]"),
        (torch.zeros(4, 16, 16), r"\(N, C, H, W\)"),
        ([[0.0]] * 4, "tensor or an array"),
        (torch.zeros(0, 3, 16, 16), "at least one image"),
        (torch.zeros(4, 1, 16, 16), "model failed on images"),
        (torch.zeros(4, 3, 16, 16, dtype=torch.float64), "model failed on images.*float64"),
    ],
)
def test_images(five, images, message):
    refuse(five, message, images=images, labels=torch.zeros(len(images), dtype=torch.long))


def test_a_bad_image_anywhere_is_named(five):
    images = five.images.clone()
    images[37, 0, 0, 0] = 1.5
    refuse(five, r"first at image 37", images=images, labels=five.labels, batch_size=2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 1, 2, 5]), r"below the model's 5 classes, given 5"),
        (torch.tensor([0, 1, -1, 0]), "whole numbers from 0"),
        (torch.tensor([0, 0.5, 1, 1]), "whole numbers from 0"),
        (torch.tensor([0, 1]), r"one per image, \(4,\)"),
    ],
)
def test_labels(five, labels, message):
    refuse(five, message, labels=labels)


def test_labels_may_be_a_list_or_an_array(five):
    lists = palpate.sweep(five.model, five.images[:4], five.labels[:4].tolist(), GRID)
    arrays = palpate.sweep(five.model, five.images[:4], five.labels[:4].numpy().astype(np.uint8), GRID)
    assert torch.equal(lists.radius, arrays.radius)


@pytest.mark.parametrize(
    ("epsilons", "message"),
    [
        ([], "at least one value above 0"),
        ([0], "at least one value above 0"),
        ([8], r'\[0, 1\].*"8/255"'),
        ([-0.1], r"\[0, 1\]"),
        (["a lot"], "fraction such as"),
        ([float("nan")], "number"),
    ],
)
def test_epsilons(five, epsilons, message):
    refuse(five, message, epsilons=epsilons)


def test_l2_epsilons_may_exceed_one_but_not_be_infinite():
    assert epsilon_grid([3.0, 1], "l2") == (1.0, 3.0)
    with pytest.raises(InputError, match="finite"):
        epsilon_grid([float("inf")], "l2")


@given(st.lists(st.sampled_from([0, 0.01, "2/255", "0.01", 0.5]), min_size=1).filter(lambda each: any(map(bool, each))))
def test_duplicates_and_zero_fall_out_and_the_rest_rises(epsilons):
    grid = epsilon_grid(epsilons, "linf")
    assert list(grid) == sorted(set(grid))
    assert 0 not in grid


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"keep": "none"}, "keep must be one of 'all', 'radius', given 'none'"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, given 0"),
        ({"batch_size": "4"}, "batch_size must be a whole number of at least 1, given '4'"),
        ({"finding": "edema"}, "finding must be the number of a column, given 'edema'"),
        ({"finding": 7}, "finding must be a column of the model's 5, given 7"),
    ],
)
def test_options(five, setting, message):
    refuse(five, message, **setting)


def test_arguments_are_checked_before_the_first_block(five):
    with pytest.raises(InputError, match="block must be at least 1, given 0"):
        sweep_blocks(five.model, five.images, five.labels, GRID, block=0)
    with pytest.raises(InputError, match="one per image"):
        sweep_blocks(five.model, five.images, five.labels[:3], GRID)


class Answers(nn.Module):
    """A model that turns another's answer into something else."""

    def __init__(self, model, change):
        super().__init__()
        self.model, self.change = model, change

    def forward(self, x):
        return self.change(self.model(x))


@pytest.mark.parametrize(
    "change", [lambda z: z[:, :, None], lambda z: {"logits": z}, lambda z: z.sum(), lambda z: z[:1].expand(9, -1)]
)
def test_answers_that_are_no_logits(five, change):
    refuse(five, "must give logits", model=Answers(five.model, change).eval())


def test_too_few_columns(five):
    refuse(
        five, "below the model's 3 classes", model=Answers(five.model, lambda z: z[:, :3]).eval(), labels=[4, 0, 0, 0]
    )


@pytest.mark.parametrize("change", [lambda z: z.softmax(1), lambda z: z[:, :1].sigmoid()])
def test_probabilities_are_warned_of(five, change):
    model = Answers(five.model, change).eval()
    with pytest.warns(UserWarning, match="probabilities instead of logits"):
        palpate.sweep(model, five.images[:4], [0, 0, 0, 0], GRID)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_images_for_which_the_model_gives_no_number_are_failures_not_robust(five, bad):
    def spoil(logits):
        return torch.where(logits[:, :1] > marks[2], bad, logits)

    logits = five.model(five.images[:8]).detach()
    marks = logits[:, 0].sort().values - 1e-3
    result = palpate.sweep(Answers(five.model, spoil).eval(), five.images[:8], five.labels[:8], [1e-6])
    spoiled = logits[:, 0] > marks[2]
    assert spoiled.any()
    assert not spoiled.all()
    assert [status == "failed" for status in result.status] == spoiled.tolist()
    assert result.radius[spoiled].isnan().all()
    assert result.robust_accuracy(1e-6) <= (~spoiled).double().mean()
    assert "failed" in str(result)


class NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0] * float("nan")


def test_images_whose_gradient_is_no_number_are_right_when_clean_and_left_out_beyond(five):
    class Spoiled(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = five.model

        def forward(self, x):
            return self.model(NoGradient.apply(x))

    result = palpate.sweep(Spoiled().eval(), five.images[:4], five.labels[:4], GRID)
    assert set(result.status) <= {"no gradient", "ok"}  # Square, which needs none, may have found something
    assert "no gradient" in result.status
    assert result.robust_accuracy(0) == 1
    attacked = result.status.count("ok")
    fooled = int(result.radius.isfinite().sum())
    assert result.robust_accuracy(GRID[-1]) == (
        (attacked - fooled) / attacked if attacked else pytest.approx(float("nan"), nan_ok=True)
    )
    assert f"{result.status.count('no gradient')} images no gradient" in str(result)


def test_ctrl_c_in_the_worst_loss_leaves_no_block_half_done(five):
    def stop(done, total, words):
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        result = palpate.sweep(
            five.model, five.images, five.labels, GRID, {"attack": "max-loss", "steps": 5}, batch_size=2, progress=stop
        )
    assert result.done.sum() == 32  # two blocks of sixteen; the third was not given
    for epsilon in GRID:
        fooled = five.model(result.images_at(epsilon)).argmax(1) != five.labels
        assert torch.equal(fooled[result.done], result.radius[result.done] <= epsilon)


@pytest.mark.parametrize("strength", ["standard", "ensemble"])
def test_ctrl_c_returns_what_is_finished(five, strength):
    class Impatient(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.model = five.model

        def forward(self, x):
            Impatient.calls += 1
            if Impatient.calls == (90 if strength == "standard" else 400):
                raise KeyboardInterrupt
            return self.model(x)

    with pytest.warns(UserWarning, match="interrupted"):
        result = palpate.sweep(Impatient().eval(), five.images, five.labels, GRID, strength, batch_size=4)
    done = result.done
    assert 0 < done.sum() < 64
    assert result.how["interrupted"] == "yes"
    assert "not run" in str(result)
    whole = palpate.sweep(five.model, five.images, five.labels, GRID, batch_size=4)
    if strength == "standard":
        torch.testing.assert_close(result.radius[done], whole.radius[done], rtol=1e-3, atol=1e-6)
    assert result.radius[~done].isnan().all()
    assert torch.equal(result.adversarials[~done], five.images[~done])
    assert result.robust_accuracy(0.0) == pytest.approx((result.radius[done] > 0).double().mean().item())
