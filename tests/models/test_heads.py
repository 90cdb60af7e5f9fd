"""The four heads against arXiv 2210.14405, computed step by step."""

import pytest
import torch

from palpate.models.heads import Head


def test_pooled_without_attention_is_a_linear_layer_on_channel_means():
    head = Head(5, (7, 7), 3, attention=False, flat=False)  # in training mode: no dropout here
    x = torch.randn(2, 5, 7, 7)
    torch.testing.assert_close(head(x), x.mean((2, 3)) @ head.dense.weight.T + head.dense.bias)


@pytest.mark.parametrize("flat", [False, True])
def test_with_attention_x_and_u_are_pooled_together_and_an_odd_edge_stays(flat):
    head = Head(2, (5, 5), 3, attention=True, flat=flat).eval()
    x, u = torch.randn(1, 2, 5, 5), torch.randn(1, 2, 5, 5)
    pooled = torch.zeros(1, 4, 3, 3)
    for channel, plane in enumerate([x[0, 0], x[0, 1], u[0, 0], u[0, 1]]):
        for i in range(3):
            for j in range(3):
                pooled[0, channel, i, j] = plane[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max().clamp(min=0)
    features = pooled.permute(0, 2, 3, 1).reshape(1, -1) if flat else pooled.mean((2, 3))
    torch.testing.assert_close(head(x, u), features @ head.dense.weight.T + head.dense.bias)


def test_flat_without_attention_drops_negatives_and_keeps_places():
    head = Head(2, (3, 3), 2, attention=False, flat=True).eval()
    x = torch.randn(1, 2, 3, 3)
    features = x.clamp(min=0).permute(0, 2, 3, 1).reshape(1, -1)
    torch.testing.assert_close(head(x), features @ head.dense.weight.T + head.dense.bias)


@pytest.mark.parametrize(("attention", "flat", "drops"), [(0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True)])
def test_dropout_is_where_the_article_has_it(attention, flat, drops):
    torch.manual_seed(0)
    head = Head(8, (4, 4), 2, bool(attention), bool(flat)).train()
    x = torch.rand(1, 8, 4, 4)
    maps = (x, x) if attention else (x,)
    assert (not torch.equal(head(*maps), head(*maps))) is drops


def test_the_dense_layer_starts_as_xavier_uniform():
    head = Head(300, (4, 4), 100, attention=False, flat=False)
    assert head.dense.weight.abs().max() <= (6 / 400) ** 0.5
    assert head.dense.weight.abs().max() > 0.99 * (6 / 400) ** 0.5
    assert not head.dense.bias.any()
