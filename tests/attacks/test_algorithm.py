"""docs/algorithm.md against the code: the descent, written again from the page for one image at a time, gives the same radii."""

import math

import pytest
import torch

import palpate

T, K, C, REACH, PRUNING, SEARCHES = 12, 5, 3, 1.5, {1: 2, 3: 1}, 4  # strength "standard"


def rounded(value: float) -> float:
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 4096) / 4096, exponent)


def projected(point, x, r):
    room = max(r - 2.0**-53, 0)
    return torch.minimum(torch.maximum(point, x - room), x + room).clamp(0, 1)


class Image:
    """Sections 2 to 5 of the page, in l∞ and float64."""

    def __init__(self, model, x, y, top, scale):
        self.model, self.x, self.y, self.top, self.scale, self.best = model, x, y, top, scale, math.inf

    def look(self, point, other=None):
        """The margin (towards `other`, or to the best wrong class), its gradient, and the rounding tolerance."""
        leaf = point.clone().requires_grad_(True)
        z = self.model(leaf[None])[0]
        wrong = torch.cat([z[: self.y], z[self.y + 1 :]]).max() if other is None else z[other]
        margin = wrong - z[self.y]
        (gradient,) = torch.autograd.grad(margin, leaf)
        return margin.item(), gradient, 2.0**-40 * max(z.abs().max().item(), self.scale)

    def start(self):
        z = self.model(self.x[None])[0]
        order = [j for j in z.argsort(descending=True).tolist() if j != self.y][:K]
        found = []
        for j in order:
            margin, gradient, tolerance = self.look(self.x, j)
            found.append((rounded((tolerance - margin) / gradient.abs().sum().item()), gradient))
        found.sort(key=lambda each: each[0])
        return [self.first(found[0][0], g) for d, g in found[:C] if d <= REACH * found[0][0]]

    def first(self, distance, gradient):
        r = min(rounded(1.05 * distance), self.top)
        v = gradient / 2.0 ** math.frexp(gradient.abs().sum().item())[1]
        return {"r": r, "v": v, "x": projected(self.x + r * v.sign(), self.x, r)}

    def step(self, each, t):
        margin, gradient, tolerance = self.look(each["x"])
        each["slope"] = slope = gradient.abs().sum().item()
        if margin - tolerance > 0:
            self.best = min(self.best, each["r"])
        each["estimate"] = rounded((each["r"] - (margin - tolerance) / slope) * (1 + 2.0**-12))
        each["gradient"] = gradient / 2.0 ** math.frexp(slope)[1]

    def move(self, each, t):
        r = min(max(each["estimate"], 0.7 * each["r"]), 1.4 * each["r"], (1 - 0.005) * self.best)
        r = min(rounded(r), self.top)
        v = each["gradient"] + 0.25 * each["v"]
        share = rounded(0.02 + 1.98 * (1 + math.cos(math.pi * (t - 1) / (T - 2))) / 2)
        moved = self.x + r / each["r"] * (each["x"] - self.x) + share * r * v.sign()
        each |= {"x": projected(moved, self.x, r), "r": r, "v": v}

    def search(self, each):
        direction, low, high, below, above, u = each["x"] - self.x, 0.0, math.inf, None, None, 1.0
        for _ in range(SEARCHES):
            u = rounded(min(u, min(0.999 * self.best, self.top) / each["r"]))
            if not (low * 1.001 < u < high and high > low * 1.001):
                return
            r = min(u * each["r"], self.top)
            margin, _, tolerance = self.look(projected(self.x + u * direction, self.x, r))
            value = margin - tolerance
            if value > 0:
                self.best, high, above = min(self.best, r), u, value
            else:
                low, below = u, value
            along = u - 1.05 * value / (each["slope"] * each["r"])
            if below is not None and above is not None:
                u = low + (high - low) * (0.05 - below / (above - below))
                u = min(max(u, low + 0.02 * (high - low)), high - 0.02 * (high - low))
            else:
                u = max(min(along, 0.998 * u), 0.9 * u) if value > 0 else min(max(along, 1.002 * u), 1.1 * u)

    def radius(self):
        if self.model(self.x[None]).argmax().item() != self.y:
            return 0.0
        candidates = self.start()
        for t in range(1, T):
            for each in candidates:
                self.step(each, t)
            for each in candidates:
                self.move(each, t)
            if t in PRUNING:
                candidates = sorted(candidates, key=lambda each: each["estimate"])[: PRUNING[t]]
        for each in candidates:
            self.search(each)
        return self.best


@pytest.mark.parametrize("name", ["two", "five"])
def test_the_page_is_the_code(name, request):
    problem = request.getfixturevalue(name)
    model = type(problem.model)(2 if name == "two" else 5).double().eval()
    model.load_state_dict(problem.model.state_dict())
    images, labels, top = problem.images[:24].double(), problem.labels[:24], 0.15
    scale = model(images[:2]).abs().max().item()
    page = [Image(model, x, int(y), top, scale).radius() for x, y in zip(images, labels, strict=True)]
    result = palpate.sweep(model, images, labels, [top])
    assert result.radius.isfinite().sum() >= 12
    torch.testing.assert_close(result.radius, torch.tensor(page, dtype=torch.float64), rtol=1e-9, atol=1e-12)
