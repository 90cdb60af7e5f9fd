"""What a sweep's result says: the curve, the images, the table, and what is written."""

import pytest
import torch

import palpate
from palpate.attacks.norms import distance
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError

GRID = ["2/255", 0.02, 0.05]


@pytest.fixture(scope="module")
def result(five):
    return palpate.sweep(five.model, five.images, five.labels, GRID)


def made(radius, status=None):
    count = len(radius)
    images = torch.zeros(count, 1, 2, 2)
    return Sweep(
        radius=torch.tensor(radius, dtype=torch.float64),
        labels=torch.zeros(count, dtype=torch.long),
        epsilons=(0.1, 0.2),
        passes=torch.tensor([[3, 2]] * count),
        status=tuple(status or ["ok"] * count),
        images=images,
        adversarials=images + 0.1,
        worst=None,
        norm="linf",
        how={"name": "standard", "attack": "minimum-norm"},
    )


def test_robust_accuracy_is_the_share_of_larger_radii():
    sweep = made([0.0, 0.1, 0.15, float("inf")])
    values = [sweep.robust_accuracy(e) for e in (0, 0.0999, 0.1, 0.15, 0.2, "51/255")]
    assert values == [0.75, 0.75, 0.5, 0.25, 0.25, 0.25]


def test_failures_count_as_fooled_and_the_unfinished_not_at_all():
    sweep = made([float("nan"), float("inf"), float("nan"), 0.1], ["failed", "ok", "not run", "ok"])
    assert sweep.robust_accuracy(0.05) == pytest.approx(2 / 3)
    assert "1 images failed" in str(sweep)
    assert "1 images not run" in str(sweep)
    assert made([float("nan")], ["not run"]).robust_accuracy(0.1) != made([0.0]).robust_accuracy(0.1)


def test_the_curve_falls_and_the_table_prints_it(result):
    curve = [result.robust_accuracy(e) for e in (0.0, *result.epsilons)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] > curve[-1]
    text = str(result)
    for value in curve:
        assert f"{value:.3f}" in text
    assert "passes per image" in text


def test_images_are_valid_at_their_epsilon(result, five):
    for epsilon in (2 / 255, 0.013, 0.05):
        images = result.images_at(epsilon)
        assert (distance(images, five.images) <= epsilon).all()
        fooled = five.model(images).argmax(1) != five.labels
        assert fooled.double().mean().item() == pytest.approx(1 - result.robust_accuracy(epsilon))
    assert torch.equal(result.images_at("2/255", slice(3, 7)), result.images_at(2 / 255)[3:7])


def test_frame_and_plot(result):
    frame = result.to_frame()
    assert frame.columns == ["image", "label", "radius", "status", "passes_forward", "passes_backward"]
    assert frame["radius"].to_list() == result.radius.tolist()
    axes = result.plot()
    (curve, points) = axes.lines
    assert points.get_ydata().tolist() == [result.robust_accuracy(e) for e in result.epsilons]
    assert curve.get_ydata()[0] == result.robust_accuracy(0)


def test_saved_and_loaded_it_is_the_same(result, five, tmp_path):
    path = result.save(tmp_path / "sweep.npz")
    again = Sweep.load(path, five.images)
    assert torch.equal(again.radius, result.radius)
    assert torch.equal(again.adversarials, result.adversarials)
    assert again.how == result.how
    assert str(again) == str(result)


def test_the_first_images_alone_and_what_is_no_saved_sweep(result, five, tmp_path):
    part = result.first(5)
    assert torch.equal(part.radius, result.radius[:5])
    assert len(part) == len(part.status) == len(part.adversarials) == 5
    assert part.adversarials.untyped_storage().nbytes() == part.adversarials.nbytes  # not a view of all images
    with pytest.raises(InputError, match="64"):
        Sweep.load(result.save(tmp_path / "sweep.npz"), five.images[:3])
    (tmp_path / "other.npz").write_bytes(b"other")
    with pytest.raises(InputError, match="is not a saved sweep"):
        Sweep.load(tmp_path / "other.npz", five.images)


def test_dropped_images_are_asked_for_in_vain(five):
    lean = palpate.sweep(five.model, five.images[:4], five.labels[:4], GRID, keep="radius")
    assert lean.adversarials is None
    with pytest.raises(InputError, match='keep="all"'):
        lean.images_at(0.02)


@pytest.mark.parametrize(
    ("radius", "words"),
    [
        ([0.05, 0.12, 0.3], "median radius 0.12 (30.6/255)"),
        ([0.05, float("inf"), float("inf")], "median radius beyond 0.2 (51/255)"),
        ([float("nan"), 0.1, 0.15], "median radius 0.1 (25.5/255)"),
    ],
)
def test_the_median_radius_is_said_to_lie_beyond_what_was_tried(radius, words):
    assert words in str(made(radius))


def test_without_a_finished_image_the_median_is_not_known():
    assert "median radius not known" in str(made([float("nan")], ["not run"]))
