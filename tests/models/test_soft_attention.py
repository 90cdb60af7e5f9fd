"""Soft attention against its formula written out in loops, and the properties that it has for every input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate.core.errors import InputError
from palpate.models.soft_attention import SoftAttention


def released_by_loops(x, kernel, bias, first):
    """method: z[h,w,m] = b + Σ_i Σ_j Σ_c K[i−h+⌊(C−1)/2⌋, j+1, c, m] · x[i, w+j, c0+c], x as (h, w, C)."""
    height, width, channels = x.shape
    z = np.zeros((height, width, len(bias))) + bias
    for h in range(height):
        for w in range(width):
            for i in range(height):
                row = i - h + (channels - 1) // 2
                for j in (-1, 0, 1):
                    for c in range(3):
                        if 0 <= row < channels and 0 <= w + j < width:
                            z[h, w] += kernel[row, j + 1, c] * x[i, w + j, first + c]
    return z


@pytest.mark.parametrize(
    ("channels", "side", "window", "first"),
    [(2048, 7, None, 1022), (192, 5, None, 94), (192, 8, 0, 0), (4, 9, None, 0), (5, 6, 2, 2)],
)
def test_released_equals_the_formula(channels, side, window, first):
    torch.manual_seed(channels)
    attention = SoftAttention(channels, heads=16, variant="released", window=window)
    torch.nn.init.normal_(attention.weight, std=0.1)
    torch.nn.init.normal_(attention.bias)
    x = torch.randn(1, channels, side, side)
    kernel = attention.weight.detach().numpy().transpose(2, 3, 1, 0)  # (C, 3, 3, m): tall, wide, deep
    with torch.no_grad():
        z = attention.logits(x)[0].permute(1, 2, 0).numpy()
    expected = released_by_loops(x[0].permute(1, 2, 0).numpy(), kernel, attention.bias.detach().numpy(), first)
    np.testing.assert_allclose(z, expected, atol=1e-5)


def test_of_the_released_weights_only_1872_are_alive_on_a_seven_by_seven_map():
    attention = SoftAttention(2048, variant="released").double()
    attention.attention_map(torch.randn(4, 2048, 7, 7).double()).square().sum().backward()
    assert attention.weight.grad is not None
    assert attention.weight.numel() == 294_912
    rows = attention.weight.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (1023 - 6, 1023 + 6)
    assert len(rows) * 3 * 3 * 16 == 1872


def test_full_is_softmax_per_head_summed_over_heads():
    torch.manual_seed(0)
    attention = SoftAttention(6, heads=3)
    x = torch.randn(2, 6, 5, 5)
    z = torch.nn.functional.conv2d(x, attention.weight, attention.bias, padding=1).clamp(min=0)
    weight = z.exp() / z.exp().sum((2, 3), keepdim=True)
    torch.testing.assert_close(attention.attention_map(x), weight.sum(1))
    torch.testing.assert_close(attention(x), weight.sum(1, keepdim=True) * x)


@pytest.mark.parametrize("variant", ["full", "released"])
@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]), side=st.integers(1, 9), seed=st.integers(0, 1000))
def test_the_map_sums_to_the_number_of_heads_for_every_image(variant, scale, side, seed):
    torch.manual_seed(seed)
    attention = SoftAttention(12, variant=variant)
    weight = attention.attention_map(scale * torch.randn(3, 12, side, side))
    assert weight.shape == (3, side, side)
    assert (weight >= 0).all()
    torch.testing.assert_close(weight.sum((1, 2)), torch.full((3,), 16.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("variant", ["full", "released"])
def test_the_block_of_resnet50_adds_294928_parameters(variant):
    assert sum(p.numel() for p in SoftAttention(2048, variant=variant).parameters()) == 294_928


@pytest.mark.parametrize("variant", ["full", "released"])
def test_weights_start_he_uniform_and_biases_at_zero(variant):
    attention = SoftAttention(64, variant=variant)
    bound = (6 / (9 * 64)) ** 0.5
    assert 0.99 * bound < attention.weight.abs().max() <= bound
    assert abs(float(attention.weight.detach().var()) / (bound**2 / 3) - 1) < 0.05
    assert not attention.bias.any()


def test_gamma_scales_u_and_leaves_the_map():
    torch.manual_seed(0)
    plain = SoftAttention(8)
    x = torch.randn(2, 8, 4, 4)
    for gamma, trained in (("fixed", 0), ("learned", 1)):
        scaled = SoftAttention(8, gamma=gamma)
        scaled.load_state_dict(plain.state_dict() | {"gamma": torch.tensor(0.01)})
        torch.testing.assert_close(scaled(x), 0.01 * plain(x))
        torch.testing.assert_close(scaled.attention_map(x), plain.attention_map(x))
        assert sum(p.numel() for p in scaled.parameters()) - sum(p.numel() for p in plain.parameters()) == trained


def test_the_older_copy_has_no_relu():
    torch.manual_seed(0)
    attention = SoftAttention(8, relu=False)
    x = torch.randn(1, 8, 4, 4)
    torch.testing.assert_close(
        attention.attention_map(x), attention.logits(x).flatten(2).softmax(-1).sum(1).view(1, 4, 4)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 0}, "heads: expected at least 1"),
        ({"variant": "half"}, "expected one of full, released, got 'half'"),
        ({"gamma": "free"}, "gamma: expected None, 'fixed' or 'learned', got 'free'"),
        ({"variant": "released", "window": 6}, r"window: expected a first channel in 0…5, got 6"),
        ({"variant": "released", "window": -1}, "window"),
        ({"window": 3}, "only attention='released' has one"),
        ({"variant": "released", "channels": 2}, "reads three channels"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        SoftAttention(**({"channels": 8} | arguments))
