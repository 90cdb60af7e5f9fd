"""Radii do not change under what changes no decision, for any number of classes, head, norm and strength: drawn by hypothesis."""

import functools
import math

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import palpate

TOPS = {"linf": 0.5, "l2": 2.0, "l1": 8.0}


class Headed(nn.Module):
    """A small smooth network in float64, its logits scaled, shifted, reordered and followed by classes that cannot win."""

    def __init__(self, classes: int, channels: int, scale=1.0, offset=0.0, order=None, extra=()) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(classes)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16 * channels, 12), nn.Tanh(), nn.Linear(12, classes))
        for parameter in self.body.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        self.scale, self.offset, self.extra = scale, offset, extra
        self.order = list(range(classes)) if order is None else order

    def forward(self, x: Tensor) -> Tensor:
        z = self.scale * self.body(x)[:, self.order] + self.offset
        return torch.cat([z, *(torch.full_like(z[:, :1], value) for value in self.extra)], 1)


def images_of(channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return (1.4 * torch.rand(5, channels, 4, 4, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)


@functools.cache
def plain(classes: int, channels: int, norm: str, strength: str, finding: int | None) -> tuple[Tensor, Tensor]:
    """Labels and radii of the network as it is."""
    model, images = Headed(classes, channels).eval(), images_of(channels)
    logits = model(images)
    labels = (logits[:, finding or 0] > 0).long() if finding is not None or classes == 1 else logits.argmax(1)
    found = palpate.sweep(model, images, labels, [TOPS[norm]], {"attack": strength, "norm": norm}, finding=finding)
    return labels, found.radius


def same(
    model: nn.Module, labels: Tensor, wanted: Tensor, channels: int, norm: str, strength: str, finding=None
) -> None:
    attack = {"attack": strength, "norm": norm}
    found = palpate.sweep(model.eval(), images_of(channels), labels, [TOPS[norm]], attack, finding=finding)
    torch.testing.assert_close(found.radius, wanted, rtol=1e-6, atol=0)


settings_of = st.tuples(
    st.sampled_from([1, 3]), st.sampled_from(sorted(TOPS)), st.sampled_from(["fast", "fast", "standard", "standard", "standard", "ensemble"])
)  # fmt: skip


@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(st.data(), st.sampled_from([2, 3, 7, 10]), settings_of)
def test_offset_scale_order_and_classes_that_cannot_win(data, classes, how):
    channels, norm, strength = how
    labels, wanted = plain(classes, channels, norm, strength, None)
    assert wanted.isfinite().any()
    order = data.draw(st.permutations(range(classes)))
    kind = data.draw(st.sampled_from(["offset", "scale", "extra"]))
    change = {
        "offset": st.floats(-1e4, 1e4),
        "scale": st.floats(-6, 6).map(lambda exponent: 10.0**exponent),
        "extra": st.lists(st.sampled_from([-50.0, -1e4, -1e9, -math.inf]), min_size=1, max_size=4),
    }[kind]
    model = Headed(classes, channels, order=order, **{kind: data.draw(change)})
    same(model, torch.tensor([order.index(label) for label in labels.tolist()]), wanted, *how)


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(st.floats(-6, 6), settings_of)
def test_the_scale_of_one_logit(exponent, how):
    labels, wanted = plain(1, *how, None)
    same(Headed(1, how[0], scale=10.0**exponent), labels, wanted, *how)


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(
    st.permutations(range(4)),
    st.floats(-6, 6),
    st.lists(st.sampled_from([-50.0, -1e9, 7.0, 1e9]), max_size=2),
    settings_of,
)
def test_order_scale_and_the_other_findings_of_a_multi_label_head(order, exponent, extra, how):
    labels, wanted = plain(4, *how, 2)
    model = Headed(4, how[0], scale=10.0**exponent, order=order, extra=extra)
    same(model, labels, wanted, *how, finding=order.index(2))


@pytest.mark.parametrize("norm", sorted(TOPS))
def test_a_radius_of_one_image_does_not_depend_on_the_others(norm):
    labels, wanted = plain(7, 1, norm, "standard", None)
    images, model = images_of(1), Headed(7, 1).eval()
    found = palpate.sweep(model, images[3:4], labels[3:4], [TOPS[norm]], {"attack": "fast", "norm": norm})
    whole = palpate.sweep(model, images[[3, 0, 1]], labels[[3, 0, 1]], [TOPS[norm]], {"attack": "fast", "norm": norm})
    torch.testing.assert_close(found.radius, whole.radius[:1], rtol=1e-6, atol=0)
    assert found.radius >= wanted[3] * 0.98


@pytest.mark.parametrize("norm", sorted(TOPS))
@pytest.mark.parametrize(("classes", "scale"), [(3, 1e-6), (7, 4e5)])
def test_the_scale_of_the_logits_in_the_ensemble(norm, classes, scale):
    """Its log-odds weigh the wrong classes by their logits, so these must have the same scale for every network."""
    labels, wanted = plain(classes, 1, norm, "ensemble", None)
    same(Headed(classes, 1, scale=scale), labels, wanted, 1, norm, "ensemble")


@pytest.mark.parametrize("norm", sorted(TOPS))
@pytest.mark.parametrize(("classes", "channels"), [(2, 3), (3, 1)])
def test_classes_that_cannot_win_are_never_aimed_at(norm, classes, channels):
    """Of three classes the linear model put an appended one among the nearest of some images, and with two it began descents towards one class."""
    generator = torch.Generator().manual_seed(102)
    images = (1.4 * torch.rand(40, channels, 4, 4, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    models = [Headed(classes, channels, extra=extra).eval() for extra in ((), (-50.0,), (-math.inf, -1e4))]
    labels = models[0](images).argmax(1)
    attack = {"attack": "standard", "norm": norm}
    first, *rest = [palpate.sweep(model, images, labels, [TOPS[norm]], attack) for model in models]
    for found in rest:
        torch.testing.assert_close(found.radius, first.radius, rtol=1e-6, atol=0)
        assert torch.equal(found.passes, first.passes)


def test_an_ascent_that_comes_back_to_a_corner_of_the_ball_does_not_depend_on_last_digits():
    labels, wanted = plain(2, 3, "l1", "ensemble", None)
    same(Headed(2, 3, offset=1e4), labels, wanted, 3, "l1", "ensemble")
