"""Networks and arguments of kinds that users have: they work as the plain network does, or end in one clear InputError."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import palpate
from palpate.core.errors import InputError


def plain() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(128, 2)).eval()


IMAGES = torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
NETWORK = plain()
LABELS = NETWORK(IMAGES).argmax(1)
RADII = palpate.sweep(NETWORK, IMAGES, LABELS, [0.3]).radius


class Viewing(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.dense = nn.Conv2d(3, 4, 5), nn.Linear(4 * 64, 2)

    def forward(self, x):
        return self.dense(self.convolution(x).relu().view(x.size(0), -1))


class Detaching(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = plain()

    def forward(self, x):
        return self.network(x.detach())


def test_a_network_that_views_its_feature_maps_is_attacked():
    torch.manual_seed(0)
    network = Viewing().eval()
    result = palpate.sweep(network, IMAGES, network(IMAGES).argmax(1), [0.5])
    assert result.radius.isfinite().all()
    assert (network(result.adversarials).argmax(1) != result.labels).all()


def test_autograd_that_is_off_around_the_call_changes_nothing():
    with torch.no_grad():
        assert torch.equal(palpate.sweep(NETWORK, IMAGES, LABELS, [0.3]).radius, RADII)
    with torch.inference_mode():
        assert torch.equal(palpate.sweep(NETWORK, IMAGES.clone(), LABELS, [0.3]).radius, RADII)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")  # deprecated, and still what many have
def test_a_scripted_network_gives_the_same_radii():
    scripted = torch.jit.script(plain())
    torch.testing.assert_close(palpate.sweep(scripted, IMAGES, LABELS, [0.3]).radius, RADII, rtol=1e-3, atol=0)


def test_a_bfloat16_network_is_attacked_with_float32_images():
    network = plain().bfloat16()
    labels = network(IMAGES.bfloat16()).argmax(1)
    result = palpate.sweep(network, IMAGES, labels, [0.3])
    assert result.adversarials is not None
    assert result.adversarials.dtype == torch.float32
    assert (network(result.adversarials.bfloat16()).argmax(1) != labels).all()


def test_a_network_without_a_gradient_is_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"no gradient reaches the images.*square"):
        palpate.sweep(Detaching().eval(), IMAGES, LABELS, [0.3])
    result = palpate.sweep(Detaching().eval(), IMAGES, LABELS, [0.3], {"attack": "square", "queries": 5})
    assert result.status == ("ok",) * 6


def test_answers_that_depend_on_the_batch_are_refused_unless_images_are_attacked_one_by_one():
    network = plain()
    network[1] = nn.BatchNorm2d(8, track_running_stats=False)
    labels = torch.cat([network.eval()(image[None]).argmax(1) for image in IMAGES])
    with pytest.raises(InputError, match="depends on the other images of the batch"):
        palpate.sweep(network, IMAGES, labels, [0.3])
    result = palpate.sweep(network, IMAGES, labels, [0.3], batch_size=1)
    for image, radius, label in zip(result.adversarials, result.radius, labels, strict=True):
        assert not radius.isfinite() or network(image[None]).argmax(1) != label


def test_images_that_require_a_gradient_leave_no_graph():
    result = palpate.sweep(NETWORK, IMAGES.clone().requires_grad_(), LABELS, [0.3])
    assert not result.radius.requires_grad
    assert not result.adversarials.requires_grad


class After(nn.Module):
    """The plain network, and what is done with its logits and images."""

    def __init__(self, function):
        super().__init__()
        self.network, self.function = plain(), function

    def forward(self, x):
        return self.function(self.network(x), x)


def attack(network, **settings):
    return palpate.sweep(network.eval(), IMAGES, LABELS, [0.3], settings or "fast")


def test_an_exported_program_gives_the_same_radii():
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(plain(), (IMAGES,), dynamic_shapes=({0: batch},))
    wanted = attack(plain()).radius
    found = palpate.sweep(program.module(), IMAGES, LABELS, [0.3], "fast")
    torch.testing.assert_close(found.radius, wanted, rtol=1e-3, atol=0)
    with pytest.raises(InputError, match=r"torch.nn.Module, given ExportedProgram; .*program.module\(\)"):
        palpate.sweep(program, IMAGES, LABELS, [0.3])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_frozen_scripts_and_quantised_networks():
    frozen = torch.jit.freeze(torch.jit.script(plain()))
    assert palpate.sweep(frozen, IMAGES, LABELS, [0.3], "fast").radius.isfinite().all()
    quantised = torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(InputError, match="no gradient reaches the images"):
        attack(quantised)
    with pytest.raises(InputError, match=r"dynamic quantisation.*batch_size=1"):  # its scale is that of the whole batch
        attack(quantised, attack="square", queries=2)
    found = palpate.sweep(quantised, IMAGES, LABELS, [0.3], {"attack": "square", "queries": 2}, batch_size=1)
    assert found.status == ("ok",) * 6


@pytest.mark.parametrize("mask", [None, -1e9, float("-inf")])
@pytest.mark.parametrize(
    "depend",
    [lambda z, x: z - z.mean(0), lambda z, x: z / z.abs().max(), lambda z, x: z - z[:1], lambda z, x: z.softmax(0)],
)
def test_dependence_on_the_batch_is_seen_beside_a_masked_class(mask, depend):
    def function(z, x):
        z = depend(z, x)
        return z if mask is None else torch.cat([z, torch.full_like(z[:, :1], mask)], 1)

    with pytest.raises(InputError, match="depends on the other images of the batch"):
        attack(After(function))


def test_a_network_that_fails_on_one_image_is_refused_in_either_way():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(432, track_running_stats=False), nn.Linear(432, 2)).eval()
    with pytest.raises(InputError, match="it fails on a single image"):
        palpate.sweep(network, IMAGES, LABELS, [0.3])
    with pytest.raises(InputError, match=r"model failed on images \(1, 3, 12, 12\)"):
        palpate.sweep(network, IMAGES, LABELS, [0.3], batch_size=1)


@pytest.mark.parametrize("error", [KeyError("a"), IndexError("b"), AttributeError("c"), NotImplementedError("d")])
def test_whatever_a_network_raises_is_one_message(error):
    def fail(z, x):
        raise error

    with pytest.raises(InputError, match=f"model failed on images .*{error.args[0]}"):
        attack(After(fail))


def test_a_network_that_changes_its_input_leaves_the_images_as_they_are():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = plain()

        def forward(self, x):
            return self.network(x.sub_(0.5))

    before = IMAGES.clone()
    labels = Centred().eval()(IMAGES.clone()).argmax(1)
    found = palpate.sweep(Centred().eval(), IMAGES, labels, [0.3])
    assert torch.equal(IMAGES, before)
    assert (Centred().eval()(found.adversarials.clone()).argmax(1) != labels)[found.radius.isfinite()].all()


@pytest.mark.parametrize("name", ["pgd", "apgd", "max-loss", "square", "foolbox-pgd", "fast", "standard"])
def test_a_class_at_minus_infinity_fails_no_image_and_counts_in_no_attack(name):
    spec = {"attack": name} | {"square": {"queries": 5}, "fast": {}, "standard": {}}.get(name, {"steps": 3})
    masked = attack(After(lambda z, x: torch.cat([z, torch.full_like(z[:, :1], float("-inf"))], 1)), **spec)
    assert masked.status == ("ok",) * 6
    torch.testing.assert_close(masked.radius, attack(plain(), **spec).radius, rtol=1e-3, atol=0)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ["pgd", "max-loss", "foolbox-pgd", "standard"])
def test_an_image_without_a_gradient_is_neither_robust_nor_failed(name, norm):
    if name == "foolbox-pgd" and norm != "linf":
        pytest.skip("in l∞ only")
    blind = After(lambda z, x: z + torch.sqrt((0 * x).flatten(1).sum(1, keepdim=True))).eval()
    steps = {} if name == "standard" else {"steps": 3}
    found = palpate.sweep(blind, IMAGES, LABELS, [1e-3], {"attack": name, "norm": norm, **steps})
    assert set(found.status) <= {"no gradient", "ok"}
    assert "no gradient" in found.status
    assert found.robust_accuracy(0) == 1
    assert all(radius == 0 or radius <= 1e-3 or radius != radius for radius in found.radius.tolist())  # never infinite


@pytest.mark.parametrize("epsilons", [None, object(), [[0.1]], [None], [b"1/255"], {"a": 1}])
def test_what_is_no_epsilon_is_named(epsilons):
    with pytest.raises(InputError, match="epsilon"):
        palpate.sweep(NETWORK, IMAGES, LABELS, epsilons)


@pytest.mark.parametrize("labels", [None, 0, {0: 1}, [[0], [1, 2]], torch.eye(2)[[0] * 6], ["0"] * 6, [1j] * 6, []])
def test_what_is_no_label_is_named(labels):
    with pytest.raises(InputError, match="labels must be"):
        palpate.sweep(NETWORK, IMAGES, labels, [0.3])


def test_labels_of_other_kinds_are_numbers_too():
    wanted = attack(plain()).radius
    for labels in (list(LABELS), [np.int64(k) for k in LABELS], np.array(LABELS.tolist(), dtype=object), LABELS.byte()):
        assert torch.equal(palpate.sweep(NETWORK, IMAGES, labels, [0.3], "fast").radius, wanted)


@pytest.mark.parametrize(
    "epsilons", [[np.float32(0.3)], np.float32(0.3), torch.tensor(0.3), np.array([0.3]), Fraction(3, 10), {0.3}]
)
def test_epsilons_of_numpy_and_torch_are_numbers(epsilons):
    assert palpate.sweep(NETWORK, IMAGES, LABELS, epsilons, "fast").epsilons == pytest.approx((0.3,))


def test_wrong_kinds_of_labels_and_images_are_named():
    with pytest.raises(InputError, match="labels must be whole numbers"):
        palpate.sweep(NETWORK, IMAGES, ["a"] * 6, [0.3])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES, LABELS), 2)
    with pytest.raises(InputError, match="DataLoader"):
        palpate.sweep(NETWORK, loader, LABELS, [0.3])


def test_a_wrapper_in_training_mode_around_an_evaluated_network_is_not_warned_of():
    palpate.sweep(nn.Sequential(plain()), IMAGES, LABELS, [0.3], "fast")  # a warning is an error here


def test_a_last_block_without_an_image_to_attack_ends_the_ensemble():
    labels = LABELS.clone()
    labels[5] = 1 - labels[5]
    assert palpate.sweep(NETWORK, IMAGES, labels, [0.3], "ensemble", batch_size=1).radius[5] == 0
