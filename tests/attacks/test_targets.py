"""Perturbations that must lead to a given class, against linear programming, and the two errors of a task of two classes."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

import palpate
from palpate.attacks.norms import distance
from palpate.attacks.result import Sweep
from palpate.core.errors import InputError


def programmed(weight: np.ndarray, bias: np.ndarray, image: np.ndarray, target: int) -> float:
    """The smallest l∞ radius at which a linear network's largest logit is the target's, within the box, by linear programming."""
    pixels = len(image)
    others = [j for j in range(len(weight)) if j != target]
    rows = [np.append(weight[j] - weight[target], 0) for j in others]  # each z_j − z_target ≤ 0
    limits = [-(weight[j] - weight[target]) @ image - (bias[j] - bias[target]) for j in others]
    for sign in (1, -1):
        rows += list(np.hstack([sign * np.eye(pixels), -np.ones((pixels, 1))]))
        limits += [0.0] * pixels
    bounds = [*zip(-image, 1 - image, strict=True), (0, None)]
    return scipy.optimize.linprog(np.append(np.zeros(pixels), 1), np.array(rows), np.array(limits), bounds=bounds).fun


@pytest.fixture(scope="module")
def linear() -> tuple[nn.Sequential, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Five classes, twelve images at the ends of the box in part, their predictions and other classes."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 5)).double().eval()
    model[1].weight.data = torch.randn(5, 27, generator=generator, dtype=torch.float64)
    images = (2 * torch.rand(12, 3, 3, 3, generator=generator, dtype=torch.float64) - 0.5).clamp(0, 1)
    labels = model(images).argmax(1)
    return model, images, labels, (labels + torch.arange(12) % 4 + 1) % 5


@pytest.mark.parametrize(("attack", "share", "median"), [("standard", 1.2, 1.03), ("ensemble", 1.05, 1.01)])
def test_the_radius_to_a_class_is_that_of_linear_programming(linear, attack, share, median):
    """The margin to the best of the other classes has kinks, so twelve steps come less near than on the margin to one class."""
    model, images, labels, targets = linear
    weight, bias = (parameter.detach().numpy() for parameter in model.parameters())
    exact = torch.tensor(
        [programmed(weight, bias, x.flatten().numpy(), int(t)) for x, t in zip(images, targets, strict=True)]
    )
    found = palpate.sweep(model, images, labels, [1.0], attack, targets=targets)
    assert found.adversarials is not None
    assert torch.equal(model(found.adversarials).argmax(1), targets)
    assert (found.radius >= exact * (1 - 1e-9)).all()
    assert (found.radius / exact).max() <= share
    assert (found.radius / exact).median() <= median
    anyone = palpate.sweep(model, images, labels, [1.0], attack)
    assert (found.radius >= anyone.radius * (1 - 1e-3)).all()
    assert "towards given classes" in str(found)


@pytest.mark.parametrize("attack", [
    {"attack": "fast"}, {"attack": "standard", "norm": "l2"}, {"attack": "standard", "norm": "l1"}, {"attack": "max-loss"},
    {"attack": "pgd", "loss": "margin"}, {"attack": "apgd", "loss": "margin"}, {"attack": "square"},
], ids=lambda each: "-".join(map(str, each.values())))  # fmt: skip
def test_every_attack_of_ours_reaches_the_targets(linear, attack):
    model, images, labels, targets = linear
    top = {"linf": 1.0, "l2": 6.0, "l1": 27.0}[attack.get("norm", "linf")]
    found = palpate.sweep(model, images, labels, [top], attack, targets=targets)
    reached = found.radius.isfinite()
    assert reached.double().mean() > 0.5
    assert found.adversarials is not None
    assert torch.equal(model(found.adversarials).argmax(1)[reached], targets[reached])
    assert (distance(found.adversarials, images, attack.get("norm", "linf")) <= top).all()


def test_targets_depend_neither_on_blocks_nor_on_batches(five):
    images, labels = five.images[:24], five.labels[:24]
    targets = (labels + 1 + torch.arange(24) % 4) % 5
    whole = palpate.sweep(five.model, images, labels, [0.2], targets=targets)
    small = palpate.sweep(five.model, images, labels, [0.2], targets=targets, batch_size=3)
    torch.testing.assert_close(small.radius, whole.radius, rtol=1e-3, atol=0)
    clean = five.model(images).argmax(1)
    assert torch.equal(whole.radius == 0, clean == targets)
    reached = whole.radius.isfinite()
    assert torch.equal(five.model(whole.adversarials).argmax(1)[reached], targets[reached])


def test_two_classes_have_one_target(two):
    images, labels = two.images[:12], two.labels[:12]
    plain = palpate.sweep(two.model, images, labels, [0.2])
    aimed = palpate.sweep(two.model, images, labels, [0.2], targets=1 - labels)
    torch.testing.assert_close(aimed.radius, plain.radius, rtol=1e-3, atol=0)


def test_one_target_for_all_leaves_out_the_images_of_its_class(linear, five):
    model, images, labels, _ = linear
    whole = palpate.sweep(model, images, labels, [1.0], targets=2)
    assert torch.equal(whole.done, labels != 2)
    assert whole.adversarials is not None
    assert torch.equal(whole.adversarials[labels == 2], images[labels == 2])
    each = palpate.sweep(model, images[labels != 2], labels[labels != 2], [1.0], targets=[2] * int((labels != 2).sum()))
    torch.testing.assert_close(whole.radius[labels != 2], each.radius, rtol=1e-3, atol=0)
    assert whole.robust_accuracy(1.0) == each.robust_accuracy(1.0)
    assert whole.to_frame()["target"].to_list() == [2] * 12
    for one in (np.int64(2), torch.tensor(2), np.array(2)):
        found = palpate.sweep(model, images[:2], labels[:2] * 0 + 3, [1.0], "fast", targets=one)
        assert found.targets is not None
        assert found.targets.tolist() == [2, 2]


def test_classes_may_be_named_where_the_model_knows_them(linear):
    model, images, labels, targets = linear
    names = ("a", "b", "c", "d", "e")

    class Named(nn.Sequential):
        classes = names

    named = Named(*model)
    said = palpate.sweep(named, images, [names[k] for k in labels], [1.0], "fast", targets=[names[k] for k in targets])
    plain = palpate.sweep(model, images, labels, [1.0], "fast", targets=targets)
    assert torch.equal(said.radius, plain.radius)
    one = palpate.sweep(named, images, labels, [1.0], "fast", targets="c").targets
    assert one is not None
    assert one.tolist() == [2] * 12
    with pytest.raises(InputError, match=r"targets must be whole numbers from 0 or one of 'a', 'b'.*given 'f'"):
        palpate.sweep(named, images, labels, [1.0], targets="f")
    with pytest.raises(
        InputError, match=r"targets must be whole numbers from 0, in the order of the logits, given 'c'"
    ):
        palpate.sweep(model, images, labels, [1.0], targets="c")


def test_targets_that_cannot_be_are_refused(linear):
    model, images, labels, targets = linear
    with pytest.raises(InputError, match=r"targets must be one per image, \(12,\)"):
        palpate.sweep(model, images, labels, [0.1], targets=targets[:3])
    with pytest.raises(InputError, match=r"targets must be below the model's 5 classes, given 5"):
        palpate.sweep(model, images, labels, [0.1], targets=targets * 0 + 5)
    with pytest.raises(InputError, match=r"targets must differ from labels, given \d for image 0"):
        palpate.sweep(model, images, labels, [0.1], targets=labels)
    with pytest.raises(InputError, match=r"targets must differ from labels, given 4"):
        palpate.sweep(model, images, labels * 0 + 4, [0.1], targets=4)
    with pytest.raises(InputError, match="'foolbox-pgd' takes none"):
        palpate.sweep(model, images, labels, [0.1], "foolbox-pgd", targets=targets)


def test_missed_disease_and_false_alarm_are_the_two_labels(two, five, tmp_path):
    found = palpate.sweep(two.model, two.images[:24], two.labels[:24], [0.1])
    parts = found.directions
    assert list(parts) == ["missed disease", "false alarm"]
    assert torch.equal(parts["missed disease"], two.labels[:24] == 1)
    assert torch.equal(parts["false alarm"], two.labels[:24] == 0)
    assert f"missed disease: {int((two.labels[:24] == 1).sum())} images, median radius" in str(found)
    assert Sweep.load(found.save(tmp_path / "found.npz"), two.images).directions.keys() == parts.keys()
    assert palpate.sweep(five.model, five.images[:4], five.labels[:4], [0.1]).directions == {}


def test_a_finding_has_both_errors_and_targets_are_kept_in_a_file(tmp_path, linear):
    model, images, labels, targets = linear
    findings = (model(images) > 0).long()
    assert "false alarm" in palpate.sweep(model, images, findings, [0.1], "fast", finding=2).directions
    aimed = palpate.sweep(model, images, labels, [0.1], "fast", targets=targets)
    again = Sweep.load(aimed.save(tmp_path / "aimed.npz"), images).first(3)
    assert again.targets is not None
    assert torch.equal(again.targets, targets[:3])
    with np.load(tmp_path / "aimed.npz") as file:
        older = {name: file[name] for name in file.files if name not in ("classes", "targets")}
    np.savez(tmp_path / "older.npz", **older)
    assert (
        Sweep.load(tmp_path / "older.npz", images).directions == {}
    )  # a file that does not say how many classes there are
