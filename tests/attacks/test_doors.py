"""Networks and arguments of kinds that users have: they work as the plain network does, or end in one clear InputError."""

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


@pytest.mark.parametrize("epsilons", [[np.float32(0.3)], np.float32(0.3), torch.tensor(0.3), np.array([0.3])])
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
