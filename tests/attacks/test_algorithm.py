"""docs/algorithm.md against the code: gain and inverse by sorting, the start, one step and the linear case, written again from the page alone."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attacks import exact
from torch import nn

from palpate.attacks.access import ModelAccess
from palpate.attacks.candidates import LEAST_TRUST, TRUST, Config
from palpate.attacks.descent import BEYOND, FORETOLD, MISSED, OVERSHOOT, init, step
from palpate.attacks.head import Head
from palpate.attacks.losses import margin
from palpate.attacks.norms import Norm
from palpate.attacks.problem import Block, Problem
from palpate.attacks.reach import Reach

NORMS: list[Norm] = ["linf", "l2", "l1"]


def pieces(weight: np.ndarray, room: np.ndarray, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Section 3: radii and gains at the ends of the pieces of G, found by sorting; between two ends G is linear, for l2 in the step λ."""
    if norm == "l1":
        order = np.argsort(-weight, kind="stable")
        return np.cumsum(room[order]), np.cumsum((weight * room)[order])
    ends = np.sort(room if norm == "linf" else room / weight)
    moved = np.minimum(ends[:, None] * (1 if norm == "linf" else weight), room)
    return (ends if norm == "linf" else np.linalg.norm(moved, axis=1)), moved @ weight


def gain(weight: np.ndarray, room: np.ndarray, radius: float, norm: str) -> float:
    radii, gains = pieces(weight, room, norm)
    if norm != "l2":
        return float(np.interp(radius, [0, *radii], [0, *gains]))
    place = int(np.searchsorted(radii, radius))
    if place == len(radii):
        return float(gains[-1])
    stopped = room / weight < np.sort(room / weight)[place]
    step = math.sqrt((radius**2 - (room[stopped] ** 2).sum()) / (weight[~stopped] ** 2).sum())
    return float(weight[stopped] @ room[stopped] + step * (weight[~stopped] ** 2).sum())


def inverse(weight: np.ndarray, room: np.ndarray, wanted: float, norm: str) -> float:
    radii, gains = pieces(weight, room, norm)
    if wanted > gains[-1]:
        return math.inf
    if norm != "l2":
        return float(np.interp(wanted, [0, *gains], [0, *radii]))
    stopped = room / weight < np.sort(room / weight)[int(np.searchsorted(gains, wanted))]
    step = (wanted - weight[stopped] @ room[stopped]) / (weight[~stopped] ** 2).sum()
    return float(np.linalg.norm(np.minimum(step * weight, room)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), norm=st.sampled_from(NORMS), share=st.floats(0.001, 0.999))
def test_gain_and_its_inverse_are_those_of_sorting(seed, norm, share):
    rng = np.random.default_rng(seed)
    image, gradient = np.clip(rng.uniform(-0.3, 1.3, 24), 0, 1), rng.normal(size=24) * 10.0 ** rng.integers(-3, 4)
    weight, room = np.abs(gradient), np.where(gradient > 0, 1 - image, image)
    reach = Reach(torch.tensor(image)[None], torch.tensor(gradient)[None], norm)
    radius = share * pieces(weight, room, norm)[0].max()
    gained = gain(weight, room, radius, norm)
    assert reach.gain(torch.tensor([radius], dtype=torch.float64)).item() == pytest.approx(gained, rel=1e-6)
    wanted = share * float(weight @ room)
    assert reach.radius(torch.tensor([wanted], dtype=torch.float64)).item() == pytest.approx(
        inverse(weight, room, wanted, norm), rel=1e-6
    )
    assert reach.radius(torch.tensor([1.001 * float(weight @ room)])).item() == math.inf
    assert inverse(weight, room, gained, norm) == pytest.approx(radius, rel=1e-9)


def rounded(value: float) -> float:
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 4096) / 4096, exponent)


class Page:
    """One image of a network in l∞ and float64: sections 2, 4 and 5."""

    def __init__(self, model: nn.Module, x: torch.Tensor, y: int) -> None:
        self.model, self.x, self.y = model, x, y

    def margin(self, point: torch.Tensor, other: int | None = None) -> tuple[float, np.ndarray, float]:
        """The margin (towards `other`, or to the best wrong class), its gradient, and the rounding tolerance."""
        leaf = point.clone().requires_grad_(True)
        z = self.model(leaf[None])[0]
        best = max((k for k in range(len(z)) if k != self.y), key=lambda k: z[k].item())
        margin = z[best if other is None else other] - z[self.y]
        (slope,) = torch.autograd.grad(margin, leaf)
        return margin.item(), slope.numpy(), 2.0**-53 * max(abs(z[best].item()), abs(z[self.y].item()))

    def start(self, config: Config) -> dict[int, dict]:
        """Section 4: the classes that become candidates, nearest first."""
        z = self.model(self.x[None])[0]
        order = [k for k in z.argsort(descending=True).tolist() if k != self.y][: config.classes]
        image, found = self.x.numpy(), {}
        for k in order:
            margin, slope, tolerance = self.margin(self.x, k)
            room = np.where(slope > 0, 1 - image, image)
            distance = inverse(np.abs(slope).ravel() + 1e-300, room.ravel(), tolerance - margin, "linf")
            found[k] = (rounded(distance), slope, room, tolerance - margin)
        nearest = min(each[0] for each in found.values())
        near = sorted((k for k in found if found[k][0] <= config.reach * nearest), key=lambda k: found[k][0])
        radius = rounded(OVERSHOOT * nearest)
        return {
            k: {
                "r": radius,
                "x": image + np.sign(slope) * np.minimum(radius, room),
                "v": slope / np.abs(slope).sum(),
                "p": gain(np.abs(slope).ravel() + 1e-300, room.ravel(), radius, "linf") - missing,
                "before": -missing,
                "q": TRUST,
            }
            for k, (_, slope, room, missing) in ((k, found[k]) for k in near[: config.candidates])
        }

    def step(self, config: Config, at: dict, t: int, best: float, top: float) -> dict:
        """Section 5, the best radius of the image being known."""
        margin, slope, tolerance = self.margin(torch.tensor(at["x"]))
        a, r, image = margin - tolerance, at["r"], self.x.numpy()
        free = np.where(slope > 0, image < 1 - r, image > r)
        estimate = rounded(max(r - a / np.abs(slope[free]).sum(), 0) * BEYOND)
        miss = abs(a - at["p"]) / (abs(at["before"]) + abs(at["p"] - at["before"]))
        q = min(max(at["q"] * (0.5 if miss > MISSED else 2 if miss < FORETOLD else 1), LEAST_TRUST), TRUST)
        limited = min(max(estimate, (1 - 0.75 * q) * r), (1 + q) * r)
        new = min(rounded(min(limited, (1 - config.shrink) * best)), top)
        v = slope / np.abs(slope).sum() + config.momentum * at["v"]
        share = config.last + (config.first - config.last) * (1 + math.cos(math.pi * (t - 1) / (config.steps - 2))) / 2
        moved = image + new / r * (at["x"] - image) + rounded(share) * new * np.sign(v)
        return {"r": new, "v": v, "x": np.clip(np.clip(moved, image - new, image + new), 0, 1), "q": q}


@pytest.fixture(scope="module")
def curved() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A network of two layers and five classes in float64, 12 images full of pixels at 0 and 1, and their predictions."""
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 24), nn.Softplus(), nn.Linear(24, 5)).double().eval()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 4
        parameter.requires_grad_(False)
    images = (1.6 * torch.rand(12, 3, 4, 4, generator=generator, dtype=torch.float64) - 0.3).clamp(0, 1)
    return model, images, model(images).argmax(1)


def block_of(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, norm: Norm, top: float) -> Block:
    access = ModelAccess(model, batch=len(images))
    problem = Problem(model, images, labels, (top,), images[:2], int(model(images[:1]).shape[1]))
    return next(iter(problem.blocks(access, norm)))


def test_the_start_and_the_first_step_are_those_of_the_page(curved):
    model, images, labels = curved
    top, config = 1.0, Config()
    block = block_of(model, images, labels, "linf", top)
    at = init(block, config, torch.arange(12))
    after, _ = step(block, Config(prune=()), at)
    count = 0
    for place in range(12):
        page = Page(model, images[place], int(labels[place]))
        starts = page.start(config)
        rows = (at.image == place).nonzero()[:, 0].tolist()
        assert len(rows) == len(starts)
        count += len(rows)
        best = math.inf
        for start in starts.values():
            margin, _, tolerance = page.margin(torch.tensor(start["x"]))
            best = start["r"] if margin - tolerance > 0 else best
        for row, start in zip(rows, starts.values(), strict=True):
            assert at.radius[row].item() == pytest.approx(start["r"], rel=1e-12)
            assert at.expected[row].item() == pytest.approx(start["p"], rel=1e-5, abs=1e-9)
            np.testing.assert_allclose(at.point[row].numpy(), start["x"], rtol=0, atol=1e-12)
            np.testing.assert_allclose(at.momentum[row].numpy(), start["v"], rtol=0, atol=1e-12)
            (again,) = (after.image == place).logical_and(_same(after, at, row)).nonzero()[:, 0].tolist()
            wanted = page.step(config, start, 1, best, top)
            assert after.radius[again].item() == pytest.approx(wanted["r"], rel=1e-12)
            assert after.trust[again].item() == pytest.approx(wanted["q"])
            np.testing.assert_allclose(after.point[again].numpy(), wanted["x"], rtol=0, atol=1e-10)
            np.testing.assert_allclose(after.momentum[again].numpy(), wanted["v"], rtol=0, atol=1e-12)
    assert count > 12  # several classes of an image are tried


def _same(after, at, row: int) -> torch.Tensor:
    """Which candidates after the step are that of the row: `step` keeps the order, and nothing was pruned."""
    return torch.arange(len(after)) == row


def test_candidates_whose_prediction_misses_at_the_look_get_more_steps(curved):
    model, images, labels = curved

    def stepped(**settings):
        block = block_of(model, images, labels, "linf", 1.0)
        at = init(block, Config(), torch.arange(12))
        return at, step(
            block, Config(prune=(), steps=10, longer=20, **settings), dataclasses.replace(at, end=at.end - 2)
        )

    at, after = stepped()
    off = (margin(model(at.point), at.label) - at.expected).abs() / (after[0].slope * at.radius)
    assert after[0].end.tolist() == [10] * len(off)  # it looks at the fourth step, not at the first
    limit = off.median().item() * (1 + 1e-6)
    wanted = [20 if each > limit else 10 for each in off.tolist()]
    assert set(wanted) == {10, 20}
    assert stepped(look=1, curved=limit)[1][0].end.tolist() == wanted


def test_a_head_is_judged_by_the_candidate_of_each_image_that_was_predicted_best():
    def bends(best: float) -> bool:
        head = Head()
        for miss, ratio in ((0.9, 0.2), (best, 1.0), (0.8, 9.0)):
            head.note(torch.arange(8), torch.full((8,), miss).double(), torch.full((8,), ratio).double())
        head.judge()
        return head.bends

    assert not bends(0.05)
    assert bends(0.5)


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_network_two_gradients_are_enough(norm):
    generator = torch.Generator().manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 3)).double().eval()
    model[1].weight.data = torch.randn(3, 27, generator=generator, dtype=torch.float64)
    images = (1.6 * torch.rand(10, 3, 3, 3, generator=generator, dtype=torch.float64) - 0.3).clamp(0, 1)
    labels = model(images).argmax(1)
    block = block_of(model, images, labels, norm, {"linf": 1.0, "l2": 10.0, "l1": 27.0}[norm])
    at = init(block, Config(), torch.arange(10))
    first = OVERSHOOT * (1 + 2**-11)
    weight, bias = (parameter.detach().numpy() for parameter in model.parameters())
    wanted = torch.tensor([exact.nearest(weight, bias, image.flatten().numpy(), norm) for image in images]).double()
    at, _ = step(block, Config(), at)
    assert (block.best.limit <= first * wanted).all()  # the start lies beyond the boundary
    if norm != "linf":
        step(block, Config(), at)
        assert (block.best.limit <= 1.001 * wanted).all()  # the optimum of the linear model in the box
    assert (block.best.limit >= wanted * (1 - 1e-9)).all()
