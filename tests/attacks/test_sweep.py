"""The sweep against models whose exact radius is known, and what it makes of inputs it cannot use."""

import warnings

import pytest
import torch
from torch import Tensor, nn

import palpate
from palpate.attacks.foolbox import foolbox_pgd
from palpate.errors import InputError
from palpate.prediction import predict_logits

EPSILONS = ["1/255", "4/255", "16/255", "64/255"]


def _linear(classes: int, seed: int = 0) -> nn.Sequential:
    """Logits W x + b with rows of very different length, so that the nearest class is often not the runner-up."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(3 * 6 * 6, classes).double()
    lengths = torch.logspace(-0.5, 0.5, classes, dtype=torch.float64)[:, None]
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64) * lengths
    layer.bias.data = -(layer.weight.data * 0.5).sum(1)
    return nn.Sequential(nn.Flatten(), layer).eval()


def _images(count: int, seed: int = 1) -> Tensor:
    """Images far enough from 0 and 1 that the box never binds."""
    return 0.5 + 0.2 * (
        torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    )


def _exact(model: nn.Sequential, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The exact l-infinity radius, min over classes of margin / ‖w_label − w_class‖₁, and whether the runner-up is nearest."""
    layer = model[1]
    logits = model(images).detach()
    gaps = logits.gather(1, labels[:, None]) - logits
    lengths = (layer.weight[labels][:, None] - layer.weight[None]).abs().sum(2).detach()
    distances = (gaps / lengths.clamp(min=1e-300)).scatter(1, labels[:, None], torch.inf)
    runner_up = logits.scatter(1, labels[:, None], -torch.inf).argmax(1)
    return distances.amin(1), distances.argmin(1) == runner_up


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("strength", ["standard", "ensemble"])
def test_the_radius_of_a_linear_model_is_exact_to_a_percent(classes, strength):
    model, images = _linear(classes), _images(64)
    labels = model(images).argmax(1)
    exact, easy = _exact(model, images, labels)
    found = palpate.sweep(model, images, labels, EPSILONS, strength=strength)
    assert ((found.radius / exact - 1).abs() < 0.01).all()
    assert (exact < 1 / 255).any()  # below the smallest epsilon, too
    if classes == 7:
        assert (~easy).any()  # where the nearest class is not the runner-up


@pytest.mark.parametrize("classes", [2, 7])
def test_the_radius_does_not_depend_on_the_batch(classes):
    model, images = _linear(classes), _images(70)
    labels = model(images).argmax(1)
    found = [palpate.sweep(model, images, labels, EPSILONS, batch_size=size, seed=3) for size in (1, 7, 64)]
    assert torch.equal(found[0].radius, found[1].radius)
    assert torch.equal(found[0].radius, found[2].radius)


def test_what_is_stored_fools_within_its_radius_and_the_curve_follows():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 3)).eval()
    images, labels = torch.rand(40, 3, 8, 8), torch.randint(0, 3, (40,))
    found = palpate.sweep(model, images, labels, EPSILONS)
    wrong = predict_logits(model, images).argmax(1) != labels
    assert torch.equal(found.radius == 0, wrong)
    for epsilon in (0.0, 0.003, 4 / 255, 64 / 255):
        stored = found.images_at(epsilon)
        right = (predict_logits(model, stored).argmax(1) == labels).double().mean().item()
        assert right == pytest.approx(found.robust_accuracy(epsilon))
        assert (stored.double() - images.double()).abs().max() <= epsilon + 2**-23
        assert stored.min() >= 0
        assert stored.max() <= 1


def test_no_image_that_foolbox_fools_is_left_standing():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 2)).eval()
    images = torch.rand(60, 3, 8, 8)
    labels = predict_logits(model, images).argmax(1)
    grid = [1 / 255, 2 / 255, 4 / 255, 8 / 255]
    found = palpate.sweep(model, images, labels, grid)
    theirs = torch.cat([batch for _, batch in foolbox_pgd(model, images, labels, grid)], 1)
    for epsilon, adversarial in zip(grid, theirs, strict=True):
        fooled = predict_logits(model, adversarial).argmax(1) != labels
        assert fooled.any() or epsilon < 4 / 255
        assert not (fooled & (found.radius > epsilon + 1e-7)).any()


def test_more_epsilons_cost_hardly_more():
    model, images = _linear(7), _images(32)
    labels = model(images).argmax(1)
    few, many = (
        palpate.sweep(model, images, labels, [0.25 * (k + 1) / n for k in range(n)]).passes.sum() for n in (4, 64)
    )
    assert many <= 1.3 * few


def test_nan_logits_are_failed_and_never_robust():
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = x.flatten(1).mean(1)
            score = torch.where(x[:, 0, 0, 0] > 0.9, torch.nan, score)
            return torch.stack([score, 0.6 - score], 1)

    images = torch.full((4, 3, 4, 4), 0.5)
    images[1, 0, 0, 0] = 1.0
    found = palpate.sweep(Broken().eval(), images, torch.zeros(4, dtype=torch.long), [0.05])
    assert found.status == ("ok", "failed", "ok", "ok")
    assert found.robust_accuracy(0) == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 255 * _images(4)}, r"\[0, 1\]"),
        ({"images": _images(0)}, "at least one image"),
        ({"labels": torch.tensor([0, 1, 2, 9])}, "label"),
        ({"labels": torch.tensor([0, 1])}, "label"),
        ({"epsilons": []}, "epsilon"),
        ({"epsilons": [-0.1]}, "epsilon"),
        ({"epsilons": [8]}, "8/255"),
        ({"strength": "strong"}, "strength"),
        ({"objective": "auc"}, "objective"),
    ],
)
def test_what_cannot_be_used_is_named(change, message):
    given = {"images": _images(4), "labels": torch.zeros(4, dtype=torch.long), "epsilons": [0.1]} | change
    with pytest.raises(InputError, match=message):
        palpate.sweep(_linear(3), **given)


def test_a_model_in_training_mode_is_evaluated_and_left_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 2)
    ).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.warns(UserWarning, match="training mode"):
        palpate.sweep(model, torch.rand(4, 3, 6, 6), torch.zeros(4, dtype=torch.long), [0.1])
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_an_interrupt_returns_what_there_is():
    model, images = _linear(2), _images(40)

    def stop(done: int, total: int, words: str) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = palpate.sweep(model, images, model(images).argmax(1), [0.2], batch_size=1, progress=stop)
    assert any("interrupted" in str(warning.message) for warning in told)
    assert 0 < found.status.count("ok") < 40
    assert found.status.count("not run") == 40 - found.status.count("ok")


def test_a_saved_sweep_reads_back(tmp_path):
    model, images = _linear(3), _images(6)
    found = palpate.sweep(model, images, model(images).argmax(1), [0.05, 0.2], seed=4)
    again = type(found).load(found.save(tmp_path / "sweep.npz"), images)
    assert torch.equal(again.radius, found.radius)
    assert (again.epsilons, again.status, again.how) == (found.epsilons, found.status, found.how)
    assert found.adversarials is not None
    assert again.adversarials is not None
    assert torch.equal(again.adversarials, found.adversarials)
    assert len(again.first(2)) == 2
    with pytest.raises(InputError, match="6"):
        type(found).load(tmp_path / "sweep.npz", images[:3])
