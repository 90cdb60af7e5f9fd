"""Synthetic images must be repeatable and balanced: the label lies in the lesion and nowhere else.

The slow tests train the demonstration's recipe and hold what its curves need: neither a trivial nor an impossible task, chance without the
sign, and a robust accuracy that falls over several epsilons.
"""

from collections import Counter

import cv2
import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from palpate.core.errors import InputError
from palpate.data.synthetic.generate import KINDS, SyntheticImages, generate

FIELDS = ("images", "labels", "groups", "masks", "ids")
TRAIN = 480  # of 720; a multiple of six, so no patient is on both sides


@pytest.fixture(scope="module", params=KINDS)
def made(request) -> SyntheticImages:
    return generate(request.param, 720, 64, 5)


@given(kind=st.sampled_from(KINDS), count=st.integers(1, 15), size=st.integers(28, 80), seed=st.integers(0, 2**40))
@settings(max_examples=12, deadline=None)
def test_an_image_depends_on_kind_seed_and_index_alone(kind, count, size, seed):
    few, many = generate(kind, count, size, seed), generate(kind, 15, size, seed)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:count])
    assert few.images.shape == (count, size, size, 3)
    assert few.images.dtype == np.uint8
    assert few.masks.shape == (count, size, size)
    assert few.labels.dtype == np.int64


def test_kinds_and_seeds_give_other_images_and_other_ids():
    sets = [generate(kind, 6, 32, seed) for kind in KINDS for seed in (0, 1)]
    assert len({image.tobytes() for made in sets for image in made.images}) == 36
    assert len({image_id for made in sets for image_id in made.ids}) == 36
    assert len({group for made in sets for group in made.groups}) == 24


def test_half_of_every_six_is_positive_and_no_patient_has_two_labels(made):
    np.testing.assert_array_equal(made.labels.reshape(-1, 6).sum(axis=1), 3)
    sizes = Counter(made.groups.tolist())
    assert Counter(sizes.values()) == {1: 240, 2: 240}
    assert len(set(zip(made.groups.tolist(), made.labels.tolist(), strict=True))) == len(sizes)
    assert not set(made.groups[:TRAIN]) & set(made.groups[TRAIN:])


def test_labels_do_not_follow_the_order_of_the_images(made):
    share = made.labels.reshape(-1, 6).mean(axis=0)  # 120 blocks: standard error .05
    assert np.abs(share - 0.5).max() < 0.2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [64, 150])
def test_hiding_the_sign_changes_pixels_inside_the_mask_only(kind, size):
    shown, hidden = generate(kind, 24, size, 2), generate(kind, 24, size, 2, hide=True)
    for name in ("labels", "groups", "masks", "ids"):
        np.testing.assert_array_equal(getattr(shown, name), getattr(hidden, name))
    changed = (shown.images != hidden.images).any(axis=-1)  # (N, S, S)
    assert not (changed & ~shown.masks).any()
    assert (changed.sum(axis=(1, 2)) > 0.05 * shown.masks.sum(axis=(1, 2))).all()
    assert (shown.masks.mean(axis=(1, 2)) < 0.4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_sign_and_look_alike_change_the_mean_colour_alike(kind):
    shown, hidden = generate(kind, 150, 64, 4), generate(kind, 150, 64, 4, hide=True)
    change = (shown.images.astype(float) - hidden.images).mean(axis=(1, 2, 3))
    sign, look_alike = change[shown.labels == 1].mean(), change[shown.labels == 0].mean()
    assert sign == pytest.approx(look_alike, rel=0.25, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_another_size_is_another_photograph_of_the_same_scene(kind):
    small, large = generate(kind, 12, 64, 1), generate(kind, 12, 128, 1)
    shrunk = np.stack([cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in large.images])
    assert np.abs(shrunk.astype(float) - small.images).mean() < 0.06 * 255  # the noise of both, and no more
    other = np.abs(np.roll(shrunk, 2, axis=0).astype(float) - small.images).mean()
    assert np.abs(shrunk.astype(float) - small.images).mean() < 0.5 * other
    agree = [(small.masks[i] == (cv2.resize(large.masks[i].astype(np.uint8), (64, 64)) > 0)).mean() for i in range(12)]
    assert min(agree) > 0.95


def colour_accuracy(images: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on the images after `TRAIN` of logistic regression on each channel's mean and standard deviation, best C."""
    moments = np.concatenate([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)
    return _best_logistic((moments - moments[:TRAIN].mean(0)) / moments[:TRAIN].std(0), labels, (0.01, 1, 100))


def pixel_accuracy(images: np.ndarray, labels: np.ndarray) -> float:
    """The same on raw pixels: on the training images' principal axes, which the ridge penalty cannot tell from the pixels."""
    pixels = images.reshape(len(images), -1).astype(np.float32) / 255
    pixels -= pixels[:TRAIN].mean(0)
    gram = pixels[:TRAIN] @ pixels[:TRAIN].T
    scale, axes = np.linalg.eigh(gram)
    keep = scale > 1e-4 * scale.max()
    coordinates = pixels @ (pixels[:TRAIN].T @ (axes[:, keep] / np.sqrt(scale[keep])))
    return _best_logistic(coordinates, labels, (1e-4, 1e-2, 1))


def _best_logistic(features: np.ndarray, labels: np.ndarray, penalties: tuple[float, ...]) -> float:
    fitted = [LogisticRegression(C=c, max_iter=2000).fit(features[:TRAIN], labels[:TRAIN]) for c in penalties]
    return max(float(model.score(features[TRAIN:], labels[TRAIN:])) for model in fitted)


def test_neither_mean_colour_nor_a_linear_model_on_pixels_tells_the_label(made):
    assert colour_accuracy(made.images, made.labels) < 0.65
    assert pixel_accuracy(made.images, made.labels) < 0.65


def test_those_two_would_notice_a_leak():
    made = generate("chest", 720, 32, 0)
    spot = np.zeros((32, 32, 1))
    spot[3:6, 3:6] = 40
    leaking = np.clip(made.images + spot * made.labels[:, None, None, None], 0, 255).astype(np.uint8)
    assert pixel_accuracy(leaking, made.labels) > 0.8
    darker = (made.images * (1 - 0.15 * made.labels[:, None, None, None])).astype(np.uint8)
    assert colour_accuracy(darker, made.labels) > 0.65


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("brain", 1, 64, 0), "kind"),
        (("skin", 0, 64, 0), "count"),
        (("skin", 1, 27, 0), "size"),
        (("skin", 1, 1025, 0), "size"),
        (("skin", 1, 64, -1), "seed"),
    ],
)
def test_a_wrong_argument_is_named(arguments, named):
    with pytest.raises(InputError, match=f"^{named} must be"):
        generate(*arguments)


def as_input(images: np.ndarray) -> torch.Tensor:
    """The images (N, S, S, 3) as (N, 3, S, S) in [-2, 2]."""
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return ((scaled - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)


def train(made: SyntheticImages, epochs: int = 5) -> torch.nn.Module:
    """The demonstration's recipe: ResNet-10 at output stride 16, AdamW one-cycle to 2e-3, batch 32, mirrored at random."""
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=2, output_stride=16).to(memory_format=torch.channels_last)
    images, labels = as_input(made.images), torch.from_numpy(made.labels)
    batches = -(-len(labels) // 32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels)).split(32):
            batch = images[chosen].flip(3) if torch.rand(()) < 0.5 else images[chosen]
            optimizer.zero_grad()
            functional.cross_entropy(model(batch), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    return model.eval().requires_grad_(False)


def correct(model: torch.nn.Module, images: torch.Tensor, labels: np.ndarray) -> float:
    """The share of the images that the model labels right."""
    predicted = torch.cat([model(part).argmax(dim=1) for part in images.split(100)])
    return float((predicted.numpy() == labels).mean())


def attacked(model: torch.nn.Module, images: torch.Tensor, labels: np.ndarray, epsilon: float) -> torch.Tensor:
    """The images after ten steps of PGD on cross-entropy within `epsilon` in [0, 1] of each, in the l∞ norm."""
    target, radius = torch.from_numpy(labels), epsilon / 0.25
    generator = torch.Generator().manual_seed(0)
    moved = images + radius * (2 * torch.rand(images.shape, generator=generator) - 1)
    for _ in range(10):
        moved = moved.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(functional.cross_entropy(model(moved), target), moved)
        moved = torch.clamp(moved + radius / 4 * slope.sign(), images - radius, images + radius).clamp(-2, 2)
    return moved.detach()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_small_network_learns_the_sign_and_only_the_sign_and_falls_over_several_epsilons(kind):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = train(generate(kind, 1200, 64, 0))
        held_out, hidden = generate(kind, 600, 64, 1), generate(kind, 600, 64, 1, hide=True)
        images = as_input(held_out.images)
        clean = correct(model, images, held_out.labels)
        assert 0.80 <= clean <= 0.97
        assert abs(correct(model, as_input(hidden.images), hidden.labels) - 0.5) <= 0.05
        few, labels = images[:96], held_out.labels[:96]
        curve = [correct(model, attacked(model, few, labels, step / 255), labels) for step in (0.5, 1, 2, 8)]
        assert curve[0] > 0.5  # not all fall to half a grey level
        assert 0.1 < curve[1] < clean
        assert curve[0] > curve[1] > curve[2] >= curve[3]
        assert curve[3] < 0.2
    finally:
        torch.set_num_threads(threads)
