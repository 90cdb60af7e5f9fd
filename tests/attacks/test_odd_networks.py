"""Odder networks and arrays than most users have: they work as the plain network does, or end in one clear InputError."""

import copy

import numpy as np
import pytest
import torch
from tests.attacks.test_doors import IMAGES, LABELS, NETWORK, RADII, After, attack, plain
from torch import nn

import palpate
from palpate.core.errors import InputError
from palpate.models.predict import predict_logits


class Choosy(nn.Module):
    """The plain network, which takes only some numbers of images at once."""

    def __init__(self, takes):
        super().__init__()
        self.network, self.takes = plain(), takes

    def forward(self, x):
        if not self.takes(len(x)):
            raise AssertionError(f"not {len(x)} images")
        return self.network(x)


@pytest.mark.parametrize(
    ("takes", "works", "reason"),
    [
        (lambda n: n == 1, 1, "model failed on images .*not 2 images.*state batch_size=1"),
        (lambda n: n <= 4, 4, "model failed on images .*not 6 images.*state batch_size"),
        (lambda n: n <= 2, 2, "fails on 3 images .not 3 images.*batch_size=1"),
        (lambda n: n % 2 == 0, None, "fails on 3 images .not 3 images.*batch_size=1"),
        (lambda n: n == 2, None, "fails on 3 images .not 3 images.*batch_size=1"),
    ],
)
def test_a_network_that_takes_only_some_batches_works_in_them_or_is_refused(takes, works, reason):
    with pytest.raises(InputError, match=reason):
        palpate.sweep(Choosy(takes).eval(), IMAGES, LABELS, [0.3])
    if works:
        found = palpate.sweep(Choosy(takes).eval(), IMAGES, LABELS, [0.3], batch_size=works)
        torch.testing.assert_close(found.radius, RADII, rtol=1e-2, atol=0)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
def test_networks_that_work_in_place_copy_themselves_or_have_weights_by_hooks():
    class Relu(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = plain()

        def forward(self, x):
            return self.network(x.relu_())

    class Double(Relu):
        def forward(self, x):
            return copy.deepcopy(self.network).double()(x.double()).float()

    normed = plain()
    normed[0] = nn.utils.weight_norm(normed[0])
    for network in (Relu(), Double(), normed):
        torch.testing.assert_close(attack(network, attack="standard").radius, RADII, rtol=1e-2, atol=0)
    assert palpate.explain(Relu().eval(), IMAGES, method="grad-cam").isfinite().all()
    with pytest.raises(InputError, match="no feature map was found: AssertionError"):
        palpate.explain(Choosy(lambda n: n == 1).eval(), IMAGES, method="grad-cam")


@pytest.mark.parametrize("network", [nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), plain().to("meta")])
def test_a_network_without_values_is_refused(network):
    for call in (
        lambda: palpate.sweep(network, IMAGES, LABELS, [0.3]),
        lambda: palpate.trust(network, IMAGES, LABELS, [0.3]),
        lambda: palpate.wrap(network, value_range=(0, 1), size=12),
        lambda: palpate.explain(network, IMAGES),
    ):
        with pytest.raises(InputError, match="parameters without values"):
            call()


@pytest.mark.parametrize("kind", ["sparse", "meta", "complex"])
def test_tensors_of_other_kinds_are_refused(kind):
    other = {"sparse": torch.Tensor.to_sparse, "meta": lambda x: x.to("meta"), "complex": lambda x: x + 0j}[kind]
    with pytest.raises(InputError, match="labels must be dense whole numbers"):
        palpate.sweep(NETWORK, IMAGES, other(LABELS), [0.3])
    with pytest.raises(InputError, match="images must be"):
        palpate.sweep(NETWORK, other(IMAGES), LABELS, [0.3])
    with pytest.raises(InputError, match="given None"):
        palpate.sweep(NETWORK, IMAGES, [0, 1, None, 0, 0, 0], [0.3])


def test_arrays_of_any_order_are_read():
    wanted = attack(plain()).radius
    array = IMAGES.numpy()
    for images in (array[::-1].copy()[::-1], array.astype(">f4"), np.ascontiguousarray(array[..., ::-1])[..., ::-1]):
        assert torch.equal(palpate.sweep(NETWORK, images, LABELS, [0.3], "fast").radius, wanted)


def test_what_lies_outside_by_rounding_is_named_with_all_its_digits():
    with pytest.raises(InputError, match=r"1\.00000012.*clamp\(0, 1\)"):
        palpate.sweep(NETWORK, IMAGES / IMAGES.max() * (1 + 1e-7), LABELS, [0.3])


def test_other_outputs_are_refused_with_the_remedy():
    for function in (lambda z, x: {"logits": z}, lambda z, x: (z, x)):
        with pytest.raises(InputError, match="reads them from a tuple"):
            attack(After(function))
    with pytest.raises(InputError, match="sparse"):
        attack(After(lambda z, x: z.to_sparse()))


def test_the_checks_take_a_half_precision_network_as_the_sweep_does():
    verdicts = palpate.trust(plain().bfloat16(), IMAGES, LABELS, [0.05], budget=1000)
    assert [v.status for v in verdicts if v.name in ("class order", "mode and logits", "deterministic")] == ["pass"] * 3


def test_predictions_and_maps_of_odd_networks_end_in_one_message_or_a_map():
    with pytest.raises(InputError, match=r"model failed on images .6, 3, 12, 12.: AssertionError: not 6 images"):
        predict_logits(Choosy(lambda n: n < 5).eval(), IMAGES)
    network = plain()
    stored = nn.Sequential(Bytes(), network).eval()
    maps = palpate.explain(
        stored, IMAGES, method="grad-cam"
    )  # though no gradient reaches the image, one reaches the map
    assert maps.amax() > 0


class Bytes(nn.Module):
    """Images as they are in a file of 8 bits."""

    def forward(self, x):
        return (x * 255).round().byte().float() / 255


def test_logits_that_are_never_negative_are_no_probabilities():
    network = nn.Sequential(plain(), nn.ReLU()).eval()
    with torch.no_grad():
        network[0][5].weight.mul_(0.1)
        network[0][5].bias.copy_(torch.tensor([0.4, 0.6]))
    logits = network(IMAGES)
    assert ((logits >= 0) & (logits <= 1)).all()
    assert palpate.wrap(network, value_range=(0, 1), size=12).head.odds is False  # a warning is an error here
