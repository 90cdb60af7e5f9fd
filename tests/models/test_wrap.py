"""wrap: any network, whatever its channels, value range, precision and kind of output, computes what it computed before."""

import dataclasses
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.models.build import build
from palpate.models.wrap import wrap


class Theirs(nn.Module):
    """Somebody's network, for any number of channels and outputs."""

    def __init__(self, outputs=2, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 5, 3)
        self.fc = nn.Linear(5, outputs)

    def forward(self, x):
        return self.fc(self.last(self.norm(self.first(x)).relu()).relu().mean((2, 3)))


class Returning(nn.Module):
    """A network whose output is put into another form."""

    def __init__(self, form, network=None):
        super().__init__()
        self.network, self.form = network or Theirs(), form

    def forward(self, x):
        return self.form(self.network(x))


class Pair(NamedTuple):
    logits: Tensor
    auxiliary: Tensor


@dataclasses.dataclass
class Answer:
    loss: None
    logits: Tensor


IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_function_and_the_normalisation_are_kept():
    network = Theirs().eval()
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    model = wrap(network, mean, std, size=32)
    m, s = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    torch.testing.assert_close(model.eval()(IMAGES), network((IMAGES - m) / s))
    assert (model.num_classes, model.channels, model.spec, model.attention) == (2, 3, None, None)


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ({"value_range": (0, 1)}, lambda x: x),
        ({"value_range": (0, 255)}, lambda x: 255 * x),
        ({"value_range": (-1, 1)}, lambda x: 2 * x - 1),
        ({"value_range": (-1024, 1024)}, lambda x: 2048 * x - 1024),
        ({"mean": 0.5, "std": 0.25}, lambda x: (x - 0.5) / 0.25),
        (
            {"mean": (100, 120, 140), "std": 60, "value_range": (0, 255)},
            lambda x: (255 * x - torch.tensor([100.0, 120, 140]).view(3, 1, 1)) / 60,
        ),
    ],
)
def test_the_network_gets_the_values_that_were_stated(arguments, given):
    network = Theirs().eval()
    model = wrap(network, size=32, **arguments).eval()
    torch.testing.assert_close(model(IMAGES), network(given(IMAGES)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels_is_taken(channels):
    network = Theirs(channels=channels).eval()
    images = torch.rand(2, channels, 32, 32)
    for model in (
        wrap(network, (0.5,) * channels, (0.2,) * channels, 32),
        wrap(network, 0.5, 0.2, 32, channels=channels),
    ):
        torch.testing.assert_close(model.eval()(images), network((images - 0.5) / 0.2))
        assert model.channels == channels
    with pytest.raises(InputError, match=rf"expected a float tensor \(N, {channels}, H, W\)"):
        model(IMAGES)


@pytest.mark.parametrize(
    ("form", "output"),
    [
        (lambda z: (z, z + 1), None),
        (lambda z: [z], None),
        (lambda z: (z + 1, z), 1),
        (lambda z: {"logits": z, "features": z + 1}, None),
        (lambda z: {"out": z, "note": "none"}, None),
        (lambda z: {"a": z + 1, "b": z}, "b"),
        (lambda z: Answer(None, z), None),
        (lambda z: Pair(z, z + 1), None),
        (lambda z: Pair(z + 1, z), 1),
        (lambda z: z[:, :, None, None], None),
    ],
)
def test_logits_are_found_in_every_usual_kind_of_output(form, output):
    model = wrap(Returning(form), 0.5, 0.5, 32, output=output).eval()
    torch.testing.assert_close(model(IMAGES), Theirs().eval()((IMAGES - 0.5) / 0.5))


@pytest.mark.parametrize("squeeze", [False, True])
def test_a_single_logit_stays_single(squeeze):
    network = Returning(lambda z: z[:, 0], Theirs(1)) if squeeze else Theirs(1)
    model = wrap(network, 0, 1, size=32)
    assert model.num_classes == 1
    assert model(IMAGES).shape == (3, 1)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_a_network_of_low_precision_is_fed_inside_and_answers_in_float32(precision):
    network = Theirs().eval().to(precision)
    model = wrap(network, 0.5, 0.5, 32).eval()
    images = IMAGES.clone().requires_grad_()
    logits = model(images)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, network(((images - 0.5) / 0.5).to(precision)).float())
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), images)
    assert gradient.dtype == torch.float32
    assert gradient.abs().sum() > 0


def test_a_wrapped_classifier_can_be_wrapped_double_precision_and_all():
    inner = build("resnet10t", size=64).double()
    model = wrap(inner, 0, 1, size=64)
    assert model(torch.rand(1, 3, 64, 64, dtype=torch.double)).dtype == torch.double


def test_the_mode_of_every_module_and_the_flag_of_every_parameter_stay():
    network = Theirs().train()
    network.norm.eval()  # a batch norm frozen for fine-tuning
    network.first.weight.requires_grad_(False)
    wrap(network, 0, 1, 32)
    assert [part.training for part in (network, network.first, network.norm)] == [True, True, False]
    assert (network.first.weight.requires_grad, network.fc.weight.requires_grad) == (False, True)


def test_logits_are_put_into_the_order_of_names():
    model = wrap(Theirs(3), 0, 1, 32, classes=("nv", "mel", "bcc")).eval()
    before = model(IMAGES)
    model.in_order(("bcc", "nv", "mel"))
    assert torch.equal(model(IMAGES), before[:, [2, 0, 1]])
    model.in_order(("nv", "mel", "bcc"))
    assert torch.equal(model(IMAGES), before)
    with pytest.raises(InputError, match="knows nv, mel, bcc, and asked for are nv, mel"):
        model.in_order(("nv", "mel"))
    with pytest.raises(InputError, match="a name for each of 3 logits, got nv, mel"):
        wrap(Theirs(3), 0, 1, 32, classes=("nv", "mel"))


class Age(nn.Module):
    def forward(self, image, age, scale=1.0):
        return image.mean((2, 3)) * age * scale


def test_a_network_of_two_inputs_gets_a_clear_answer():
    with pytest.raises(InputError, match=r"needs 2 inputs \(image, age\), and palpate perturbs one batch of images"):
        wrap(Age(), 0, 1, 28)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:FutureWarning")
def test_a_program_of_torch_export_and_of_torchscript_compute_the_same():
    network = Theirs().eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(network, (IMAGES[:2],), dynamic_shapes=({0: batch},)).module()
    scripted = torch.jit.trace(network, IMAGES[:2], check_trace=False)
    for program in (exported, scripted):
        model = wrap(program, 0.5, 0.5, 32)
        for mode in (model.train(), model.eval()):
            torch.testing.assert_close(mode(IMAGES), network((IMAGES - 0.5) / 0.5))


def test_a_program_exported_for_one_image_says_so():
    fixed = torch.export.export(Theirs().eval(), (IMAGES[:1],)).module()
    with pytest.raises(InputError, match=r"failed on images \(2, 3, 32, 32\)"):
        wrap(fixed, 0.5, 0.5, 32)


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (nn.Conv2d(3, 8, 3), {}, r"expected logits \(N, K\), got torch\.float32 \(2, 8, 30, 30\)"),
        (nn.Linear(3, 8), {}, r"failed on images \(2, 3, 32, 32\)"),
        (Theirs(channels=1), {}, r"its first convolution takes 1 channel\(s\): state channels=1"),
        (Theirs(), {"mean": (0.5,)}, "std: expected a number for each of 1 channels"),
        (Theirs(), {"std": (1, 0, 1)}, "std: expected positive numbers"),
        (Theirs(), {"std": None}, "state what the network takes: mean and std, value_range, or all three"),
        (Theirs(), {"mean": None, "std": None}, "state what the network takes"),
        (Theirs(), {"value_range": (1, -1)}, "value_range: expected the least and the greatest value"),
        (Theirs(), {"output": "logits"}, "the network's output has no 'logits'; it is a Tensor"),
        (Returning(lambda z: {"a": z, "b": z}), {}, r"a mapping of a \(2, 2\), b \(2, 2\); say which part"),
        (Returning(lambda z: "two"), {}, "its output is a str"),
        (Returning(lambda z: z.argmax(1)), {}, r"expected logits \(N, K\), got torch\.int64"),
        (Returning(lambda z: z.mean(0, keepdim=True)), {}, r"got \(1, 2\) for N = 2 images"),
        (len, {}, "expected a torch.nn.Module, got builtin_function_or_method"),
    ],
)
def test_what_cannot_be_wrapped_is_named(module, arguments, message):
    with pytest.raises(InputError, match=message):
        wrap(module, **({"mean": (0, 0, 0), "std": (1, 1, 1), "size": 32} | arguments))


def test_weights_that_are_no_numbers_are_named():
    network = Theirs()
    network.fc.weight.data[0, 0] = torch.nan
    network.norm.running_var.fill_(torch.nan)
    with pytest.raises(InputError, match=r"2 tensor\(s\) that hold NaN or infinity \(fc\.weight, norm\.running_var\)"):
        wrap(network, 0, 1, 32)
    network = Theirs()
    network.register_buffer("mask", torch.tensor([-torch.inf, 0]))  # as attention has them
    wrap(network, 0, 1, 32)
