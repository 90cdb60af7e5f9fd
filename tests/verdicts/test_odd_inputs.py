"""`trust` on what nobody would call usual: every check answers with a verdict or a reason, never with a traceback."""

import pytest
import torch
from tests.verdicts.helpers import Net, by_name, sane
from tests.verdicts.linear import EPSILONS, Line, claim, images
from torch import nn

from palpate.verdicts.api import trust


def _cases():
    x, y, _ = images(12)
    yield "one class", x[::2], y[::2], Line()
    yield "two images", x[:2], y[:2], Line()
    yield "one image", x[:1], y[:1], Line()
    yield "all wrong when clean", x, 1 - y, Line()
    yield "never fooled", *images(12, (0.4, 0.45))[:2], Line()
    yield "all fooled everywhere", *images(12, (0.0001, 0.0002))[:2], Line()
    yield "images in bytes", 255 * x, y, Line()
    yield "not a number", x * torch.nan, y, Line()
    yield "answers not a number", x, y, nn.Sequential(Line(), _Lambda(lambda z: z * torch.nan))
    yield "labels beyond the classes", x, y + 5, Line()
    yield "one logit", x, y, Net(1)
    yield "flat logit", x, y, nn.Sequential(Net(1), nn.Flatten(0))
    yield "constant", x, y, nn.Sequential(Line(), _Lambda(lambda z: 0 * z))
    yield "crashing", x, y, nn.Sequential(Line(), _Lambda(lambda z: z[:, 7]))
    yield "three classes", x, y, nn.Sequential(Line(0.25), _Lambda(lambda z: torch.cat([z, -z[:, 1:] - 5], 1)))
    yield "integers", x, y.to(torch.int32), Line()


class _Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


@pytest.mark.parametrize(("name", "x", "y", "model"), list(_cases()), ids=[name for name, *_ in _cases()])
@pytest.mark.parametrize("swept", [False, True])
def test_odd_inputs_end_in_a_verdict_and_a_reason(name, x, y, model, swept):
    radius = torch.full((len(x),), 0.03, dtype=torch.float64)
    sweep = claim(x, y.long(), radius, x.clone()).sweep if swept else None
    verdicts = trust(model.eval(), x, y, EPSILONS, sweep)
    sane(verdicts)
    if name == "all wrong when clean":
        assert "0 of 12 images are classified correctly" in by_name(verdicts)["gradients"].advice
    if name == "two images":
        assert not [verdict.name for verdict in verdicts if verdict.status == "fail"]
    if name == "crashing":
        assert "IndexError" in by_name(verdicts)["gradients"].advice
    if name == "images in bytes":
        assert by_name(verdicts)["input range"].status == "fail"
        assert by_name(verdicts)["margin loss"].status == "not run"
    if name in ("one logit", "flat logit", "three classes", "integers") and not swept:
        assert not [verdict.name for verdict in verdicts if verdict.status == "fail"]
