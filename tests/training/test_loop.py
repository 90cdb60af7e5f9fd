"""Training: the best epoch is kept, the seed decides everything, the test split is never touched."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from palpate.core.errors import InputError
from palpate.models.predict import predict_logits
from palpate.training.loop import fit
from palpate.training.sampling import class_weights, draw, flip, flips
from palpate.training.spec import TrainSpec

QUICK = {"name": "q", "optimizer": "adamw", "learning_rate": 0.02, "adam_epsilon": 1e-8, "batch_size": 16}


class _NeverTouched:
    def __getattr__(self, name):
        raise AssertionError(f"training looked at test.{name}")


def _split(count: int, seed: int, shares=(0.5, 0.5)) -> SimpleNamespace:
    """Images whose brightness in one corner tells the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(shares), count, replacement=True, generator=generator)
    labels[: len(shares)] = torch.arange(len(shares))
    images = torch.rand(count, 3, 8, 8, generator=generator) * 0.5
    images[:, :, :4, :4] += labels[:, None, None, None] * 0.15
    return _Split(images, labels.numpy())


class _Split(SimpleNamespace):
    def __init__(self, images, labels):
        super().__init__(images=images, labels=labels)

    def __len__(self):
        return len(self.labels)


def _dataset(shares=(0.5, 0.5), train=96):
    classes = tuple(f"class {index}" for index in range(len(shares)))
    return SimpleNamespace(
        train=_split(train, 1, shares), val=_split(48, 2, shares), test=_NeverTouched(), classes=classes
    )


def _network(classes=2, dropout=0.2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(32, classes),
    )  # fmt: skip


def test_training_learns_and_keeps_the_best_epoch():
    model, dataset = _network(), _dataset()
    history = fit(model, dataset, TrainSpec(epochs=12, **QUICK), device="cpu")
    losses = [epoch.val_loss for epoch in history.epochs]
    labels = torch.as_tensor(dataset.val.labels)
    kept = F.cross_entropy(predict_logits(model, dataset.val.images), labels).item()
    assert kept == pytest.approx(history.best.val_loss, abs=1e-6)
    assert history.best.val_loss <= min(losses) + 0.001 * len(losses)  # min_delta per improvement
    assert history.best.val_accuracy > 0.8
    assert 0.8 < history.epochs[-1].train_accuracy <= 1
    assert not model.training
    assert history.epochs[-1].passes == 12 * 96


def test_the_last_epoch_is_kept_where_the_recipe_says_so():
    dataset = _dataset()
    best, last = _network(), _network()
    histories = [
        fit(net, dataset, TrainSpec(epochs=9, keep=keep, **QUICK | {"learning_rate": 0.3}), device="cpu")
        for net, keep in ((best, "best"), (last, "last"))
    ]
    assert histories[0].epochs[-1].val_loss == histories[1].epochs[-1].val_loss
    assert histories[0].best_epoch < 9  # so that the two differ
    assert histories[1].best_epoch == 9
    loss = F.cross_entropy(predict_logits(last, dataset.val.images), torch.as_tensor(dataset.val.labels)).item()
    assert loss == pytest.approx(histories[1].best.val_loss, rel=1e-5)


def test_batch_norm_recalibrated_holds_the_mean_over_the_training_images():
    """The first convolution's outputs depend on the images alone, so their mean is known; with one batch an epoch, exactly."""
    dataset = _dataset()
    model = _network()
    fit(model, dataset, TrainSpec(epochs=1, batch_norm="recalibrated", **QUICK | {"batch_size": 96}), device="cpu")
    with torch.no_grad():
        outputs = model[0](dataset.train.images)
    torch.testing.assert_close(model[1].running_mean, outputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model[1].running_var, outputs.var((0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert model[1].momentum == 0.1
    assert not model.training


def test_the_seed_repeats_and_matters():
    def weights(seed: int) -> torch.Tensor:
        model = _network()
        fit(model, _dataset(), TrainSpec(epochs=2, augment="flips", sampling="sqrt-inverse", **QUICK), seed, "cpu")
        return torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_the_callers_random_state_is_left_alone():
    model = _network(dropout=0.5)
    before = torch.get_rng_state()
    fit(model, _dataset(), TrainSpec(epochs=1, **QUICK), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_early_stopping_waits_for_patience():
    spec = TrainSpec(epochs=50, patience=3, min_delta=10.0, **QUICK)  # nothing improves by 10 nats
    history = fit(_network(), _dataset(), spec, device="cpu")
    assert history.stopped_early
    assert history.best_epoch == 1
    assert len(history.epochs) == 4


def test_an_epoch_may_see_a_share_of_the_images():
    spec = TrainSpec(epochs=3, epoch_fraction=0.25, **QUICK)
    assert [epoch.passes for epoch in fit(_network(), _dataset(), spec, device="cpu").epochs] == [24, 48, 72]


def test_a_last_batch_of_one_image_is_left_out():
    spec = TrainSpec(epochs=1, **QUICK)
    assert fit(_network(), _dataset(train=33), spec, device="cpu").epochs[0].passes == 32


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("inverse", [100 / 30, 100 / 210]),
        ("sqrt-inverse", [math.sqrt(100 / 30), math.sqrt(100 / 210)]),
        ("none", [1, 1]),
    ],
)
def test_class_weights_are_n_over_k_times_the_count(kind, expected):
    found = class_weights(torch.tensor([10, 70, 20]), kind)
    assert found[:2].tolist() == pytest.approx(expected)


def test_inverse_weights_make_every_class_weigh_the_same():
    counts = torch.tensor([3, 50, 7, 940])
    assert (class_weights(counts, "inverse") * counts).tolist() == pytest.approx([250.0] * 4)


def test_sampling_evens_out_classes_by_the_root():
    labels = torch.tensor([0] * 900 + [1] * 100)
    drawn = draw(labels, 100_000, "sqrt-inverse", torch.Generator().manual_seed(0))
    assert (labels[drawn] == 1).float().mean().item() == pytest.approx(1 / (1 + 3), abs=0.01)  # √100 to √900


def test_flips_are_symmetries_of_the_square():
    images = torch.rand(64, 3, 5, 5)
    flipped = flip(images, flips(len(images), torch.Generator().manual_seed(0)))
    symmetries = [t.rot90(k, (1, 2)) for t in (images[0], images[0].flip(2)) for k in range(4)]
    seen = set()
    for _ in range(40):
        image = flip(images[:1], flips(1, torch.Generator().manual_seed(len(seen) * 97 + _)))[0]
        seen.add(next(i for i, symmetry in enumerate(symmetries) if torch.equal(symmetry, image)))
    assert len(seen) == 8
    assert torch.equal(flipped.flatten(2).sort(2).values, images.flatten(2).sort(2).values)


def test_a_class_without_training_images_is_named():
    dataset = _dataset()
    dataset.classes = ("nevus", "melanoma", "dermatofibroma")
    with pytest.raises(InputError, match="dermatofibroma"):
        fit(_network(3), dataset, TrainSpec(epochs=1, **QUICK), device="cpu")


def test_divergence_is_named_with_its_remedy():
    spec = TrainSpec(epochs=5, **(QUICK | {"optimizer": "sgd", "learning_rate": 1e30}))
    with pytest.raises(InputError, match=r"learning_rate must be lower, given 1e\+30"):
        fit(_network(), _dataset(), spec, device="cpu")


def test_no_validation_images_are_refused():
    dataset = _dataset()
    dataset.val = _Split(torch.zeros(0, 3, 8, 8), np.zeros(0, int))
    with pytest.raises(InputError, match="val_images"):
        fit(_network(), dataset, TrainSpec(epochs=1, **QUICK), device="cpu")


def test_balanced_accuracy_is_the_mean_recall():
    from sklearn.metrics import balanced_accuracy_score

    from palpate.training.objective import balanced_accuracy

    generator = torch.Generator().manual_seed(0)
    labels, guesses = torch.randint(0, 4, (2, 200), generator=generator)
    logits = torch.nn.functional.one_hot(guesses, 4).float()
    assert balanced_accuracy(logits, labels) == pytest.approx(balanced_accuracy_score(labels, guesses))


def test_weights_by_name_leave_the_other_classes_at_one():
    found = class_weights(torch.tensor([5, 5, 5]), {"mel": 5.0}, ("akiec", "mel", "nv"))
    assert found.tolist() == [1.0, 5.0, 1.0]
    with pytest.raises(InputError, match="given melanoma"):
        class_weights(torch.tensor([5, 5]), {"melanoma": 5.0}, ("mel", "nv"))


def test_a_single_logit_is_trained_as_two_classes():
    dataset = _dataset()
    model = _network(classes=1)
    history = fit(model, dataset, TrainSpec(epochs=12, **QUICK), device="cpu")
    assert history.best.val_accuracy > 0.8
    right = (predict_logits(model, dataset.val.images)[:, 0] > 0).numpy() == dataset.val.labels
    assert right.mean() == pytest.approx(history.best.val_accuracy)


def test_a_network_that_views_its_maps_is_trained():
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64, 2)

        def forward(self, x):
            return self.fc(self.conv(x).relu().view(len(x), -1))

    assert len(fit(Viewing(), _dataset(), TrainSpec(epochs=2, **QUICK), device="cpu").epochs) == 2


def test_weights_that_are_no_numbers_are_named_before_training():
    model = _network()
    model[0].weight.data[0] = torch.nan
    with pytest.raises(InputError, match=r"the model has 1 tensor\(s\) that hold NaN or infinity \(0\.weight\)"):
        fit(model, _dataset(), TrainSpec(epochs=1, **QUICK), device="cpu")


def test_a_preset_is_a_registered_recipe(monkeypatch):
    from palpate.core.registry import RECIPES

    monkeypatch.setattr(RECIPES, "_entries", dict(RECIPES._entries))
    RECIPES.add("brief", {"epochs": 2, "patience": 1})
    spec = TrainSpec(preset="brief", epochs=3)
    assert (spec.name, spec.epochs, spec.patience) == ("brief", 3, 1)
    with pytest.raises(InputError, match=r"training preset must be one of .*did you mean 'brief'"):
        TrainSpec(preset="brif")


def test_another_number_of_logits_than_classes_is_named():
    def network(columns: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(192, columns))

    with pytest.raises(InputError, match=r"model gives 3 logits, and the data set has 2 classes \(class 0, class 1\)"):
        fit(network(3), _dataset(), TrainSpec(**QUICK, epochs=1), device="cpu")
    with pytest.raises(InputError, match="model gives 2 logits, and the data set has 3 classes"):
        fit(network(1), _dataset((0.4, 0.3, 0.3)), TrainSpec(**QUICK, epochs=1), device="cpu")
    assert fit(network(1), _dataset(), TrainSpec(**QUICK, epochs=1), device="cpu").epochs
