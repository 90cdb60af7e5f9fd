"""The minimum-norm attack against exact radii, against Foolbox, and against itself in other batches."""

import foolbox
import pytest
import torch
from torch import nn

import palpate
from palpate.attacks.norms import distance

GRID = [0.005 * 2**step for step in range(6)]


class Widths(nn.Module):
    """Hands images on and notes how many came."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def forward(self, x):
        self.seen.append(len(x))
        return self.model(x)


@pytest.mark.parametrize("strength", ["standard", "ensemble"])
@pytest.mark.parametrize("problem", ["linear2", "linear7"])
def test_radius_of_a_linear_model_is_exact_within_a_percent(problem, strength, request):
    linear = request.getfixturevalue(problem)
    images, labels = (
        (linear.images, linear.labels) if strength == "standard" else (linear.images[:10], linear.labels[:10])
    )
    exact = linear.radius[: len(images)]
    if problem == "linear7":
        assert (linear.nearest != linear.runner_up).sum() >= 5  # the rows of W differ in length
    # One epsilon, above every radius: nothing is read off a grid.
    result = palpate.sweep(linear.model, images, labels, [0.25], strength)
    assert (result.radius >= exact * (1 - 1e-12)).all()
    assert (result.radius <= exact * 1.01).all()
    assert result.adversarials is not None
    assert (linear.model(result.adversarials).argmax(1) != labels).all()


def test_fast_is_exact_for_two_classes(linear2):
    result = palpate.sweep(linear2.model, linear2.images, linear2.labels, [0.25], "fast")
    assert (result.radius <= linear2.radius * 1.01).all()
    assert result.passes[:, 0].max() <= 15
    assert result.passes[:, 1].max() <= 14


def test_l2_radius_of_a_linear_model_is_exact_within_a_percent(linear7):
    result = palpate.sweep(linear7.model, linear7.images, linear7.labels, [4.0], {"attack": "standard", "norm": "l2"})
    # The nearest class in l2 need not be the nearest in l∞; the true minimum is over all of them.
    assert (result.radius >= linear7.radius_l2 * (1 - 1e-9)).all()
    assert (result.radius <= linear7.radius_l2 * 1.01).all()


def test_nothing_is_found_beyond_the_largest_epsilon(linear2):
    top = linear2.radius.median().item() * 1.0001
    result = palpate.sweep(linear2.model, linear2.images, linear2.labels, [top])
    assert ((result.radius <= top) | result.radius.isinf()).all()
    beyond = linear2.radius > top
    assert result.radius[beyond].isinf().all()
    assert torch.equal(result.adversarials[beyond], linear2.images[beyond])
    assert (result.radius[linear2.radius < 0.99 * top] <= top).all()


@pytest.mark.parametrize("strength", ["fast", "standard", "ensemble"])
def test_in_float64_the_batch_size_does_not_change_a_bit(linear7, strength):
    count = 4 if strength == "ensemble" else 20
    results = [
        palpate.sweep(linear7.model, linear7.images[:count], linear7.labels[:count], [0.25], strength, batch_size=batch)
        for batch in (1, 7, 64)
    ]
    for other in results[1:]:
        assert torch.equal(other.radius, results[0].radius)
        assert torch.equal(other.adversarials, results[0].adversarials)
        assert torch.equal(other.passes, results[0].passes)


def test_on_a_network_the_batch_size_hardly_matters(five):
    images, labels = five.images[:40], five.labels[:40]
    radii = [palpate.sweep(five.model, images, labels, GRID, batch_size=batch).radius for batch in (1, 7, 64)]
    for other in radii[1:]:
        same = (other - radii[0]).abs().nan_to_num(nan=0.0) <= 1e-6  # inf - inf is NaN
        assert same.double().mean() >= 0.97  # one image of 40


def test_the_order_of_images_does_not_matter(linear2):
    backwards = torch.arange(5, -1, -1)
    one = palpate.sweep(linear2.model, linear2.images[:6], linear2.labels[:6], [0.25])
    other = palpate.sweep(linear2.model, linear2.images[backwards], linear2.labels[backwards], [0.25])
    assert torch.equal(one.radius, other.radius[backwards])


def test_a_seed_repeats_and_another_differs(five):
    def run(seed):
        return palpate.sweep(five.model, five.images[:4], five.labels[:4], GRID, {"attack": "ensemble", "seed": seed})

    first, again, other = run(1), run(1), run(2)
    assert torch.equal(first.radius, again.radius)
    assert torch.equal(first.adversarials, again.adversarials)
    assert torch.equal(first.passes, again.passes)
    assert not torch.equal(
        first.passes, other.passes
    )  # its random starts go other ways, even where they end at the same image


@pytest.mark.parametrize("name", ["two", "five"])
def test_nowhere_weaker_than_foolbox_for_a_tenth_of_its_passes(name, request):
    problem = request.getfixturevalue(name)
    model = problem.model.requires_grad_(False)
    torch.manual_seed(0)
    reference = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    grid, images, labels = [*GRID, 0.32, 0.64], problem.images[:40], problem.labels[:40]
    _, _, fooled = foolbox.attacks.LinfPGD()(reference, images, labels, epsilons=grid)
    result = palpate.sweep(model, images, labels, grid)
    assert fooled.any()
    assert not fooled.all()
    for epsilon, theirs in zip(grid, fooled, strict=True):
        assert not (theirs & (result.radius > epsilon)).any()
    forward, backward = result.passes.double().mean(0)
    assert forward < 0.1 * 328
    assert backward < 0.1 * 320


def test_every_claim_holds_when_checked_again(five):
    result = palpate.sweep(five.model, five.images, five.labels, GRID)
    assert result.status == ("ok",) * 64
    logits = five.model(five.images)
    wrong = logits.argmax(1) != five.labels
    assert torch.equal(result.radius == 0, wrong)
    reached = distance(result.adversarials, five.images)
    found = result.radius.isfinite()
    assert torch.equal(reached[found], result.radius[found])
    assert result.adversarials.min() >= 0
    assert result.adversarials.max() <= 1
    fooled = five.model(result.adversarials).argmax(1) != five.labels
    assert torch.equal(fooled, found)


def test_sixty_four_epsilons_cost_what_four_do(five):
    def passes(count):
        grid = [0.16 * (step + 1) / count for step in range(count)]
        return palpate.sweep(five.model, five.images, five.labels, grid).passes.double().mean(0)

    assert (passes(64) <= 1.3 * passes(4)).all()


def test_passes_are_those_that_the_model_saw(five):
    watched = Widths(five.model).eval()
    watched.__deepcopy__ = lambda memo: watched  # type: ignore[attr-defined]  # else the folded copy would be unseen
    result = palpate.sweep(watched, five.images, five.labels, GRID)
    setting_up = 2 * 26  # forward passes on the first two images, their negatives, noise, and pixels of 0 and 1
    assert result.passes[:, 0].sum() <= sum(watched.seen) <= result.passes[:, 0].sum() + setting_up


def test_the_model_is_left_as_it_was(five):
    model = five.model
    model.requires_grad_(True)
    model.bn1.train()
    model.zero_grad()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with pytest.warns(UserWarning, match="training mode"):
            palpate.sweep(model, five.images[:4], five.labels[:4], GRID)
        assert model.bn1.training
        assert not model.bn2.training
    finally:
        model.eval()
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_bfloat16_gradients_change_no_claim(five):
    result = palpate.sweep(five.model, five.images, five.labels, GRID, {"attack": "standard", "precision": "bfloat16"})
    found = result.radius.isfinite()
    assert (five.model(result.adversarials).argmax(1) != five.labels)[found].all()
    exact = palpate.sweep(five.model, five.images, five.labels, GRID)
    assert (result.radius[found] / exact.radius[found].clamp(min=1e-9)).nanmedian() < 1.1


def test_progress_ends_at_all_images(five):
    told = []
    palpate.sweep(five.model, five.images, five.labels, GRID, progress=lambda *words: told.append(words), batch_size=4)
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert told[-1][:2] == (64, 64)


@pytest.mark.parametrize(("size", "count", "largest"), [(8, 150, 128), (160, 24, 20), (640, 10, 8)])
def test_a_pass_holds_as_many_images_as_their_size_allows(size, count, largest):
    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.most = 0

        def forward(self, x):
            self.most = max(self.most, len(x))
            return (x.mean((1, 2, 3)) - 0.5)[:, None] * torch.tensor([-1.0, 1.0])

    model = Seen().eval()
    palpate.sweep(model, torch.full((count, 3, size, size), 0.4), torch.zeros(count, dtype=torch.long), [0.2], "fast")
    assert model.most == largest
