"""Model access: the one way in which attacks and checks ask a model for logits and gradients.

Passes are what attacks are compared by, so they are counted here and nowhere else. Points are split into batches that fit the memory, answers of
random models are averaged over draws, and a fast version of the model, whose successes are confirmed by the model itself, may stand in for it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from palpate.attacks.budget import PassBudget
from palpate.attacks.losses import certain_margin, one_against_rest, wrong_by_logit
from palpate.attacks.norms import channel_mean, dual_norm, per_image
from palpate.attacks.surrogate import FLAT, sizes_of, sound
from palpate.models.memory import free_memory, out_of_memory
from palpate.models.predict import one_message

Model = Callable[[Tensor], Tensor]
"""From images (n, C, H, W) to logits (n, K)."""

Part = slice | Tensor
"""Which of the points are meant."""

IN_VAIN = 8
"""Passes in a row for which a stand-in did not help an image, after which it is no longer asked."""


class ModelAccess:
    """Logits and gradients of a model, for points (n, C, H, W), counted.

    Every method takes `image` (n,): which image each point belongs to, as an index into the images selected; in their order when absent.

    Args:
        model: from images (n, C, H, W) to logits (n, K), K ≥ 2; frozen, in evaluation mode, unless the caller wants it otherwise.
        fast: the same function up to rounding, quicker; the model itself when absent.
        confirm: `fast` serves for gradients only, so that logits, on which success rests, are the model's.
        careful: gives the same function in float64, or None where there is none; asked where a gradient is zero or not a number.
        batch: points per call of the model, which halves when memory runs out; all at once when absent.
        draws: calls averaged per answer, for models that are not deterministic (expectation over transformation, arXiv 1707.07397).
        budget: where passes are counted in sum; may be shared.
        device: where points are kept; the caller's business when absent.

    Attributes:
        passes: forward and backward passes of each image since `begin` (N, 2), on the CPU; empty where `begin` was not called.
        blind: images whose gradient was not a number, in float64 neither, (N,), on the CPU; such a gradient counts as zero.
        flat: images for which the surrogate is asked (N,), on the CPU: once it was needed always, so that an attack sees one function.
        tied: images whose channels move together (N,), on the CPU: their gradients are the mean over the channels.
        surrogate: gives a function to ask for losses and gradients where float64 has none either, or None; logits stay the model's.
        rectified: whether `flat` holds of all images, since logits of 0, as behind a ReLU, have no gradient of their own.
        still: classes (K,) that are never aimed at, see `palpate.attacks.precision.still_classes`; None for none.
        wavering: how far batches change a margin, see `palpate.attacks.precision.wavering`.
        targets: classes (N,), on the CPU, where logits are to be `one_against_rest`, so that to reach the target is to fool class 0; or None.
    """

    def __init__(
        self,
        model: Model,
        *,
        fast: Model | None = None,
        confirm: bool = False,
        careful: Callable[[], Model | None] = lambda: None,
        batch: int | None = None,
        draws: int = 1,
        budget: PassBudget | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.model, self.fast, self.confirm, self._careful = model, fast or model, confirm, careful
        self.surrogate: Callable[[], Model | None] = lambda: None
        self.draws, self.device, self.budget = draws, device or torch.device("cpu"), budget or PassBudget()
        self.still: Tensor | None = None
        self._batch, self.rectified, self.wavering = batch, False, 0.0
        self.begin(0)

    @classmethod
    def of(cls, model: "Model | ModelAccess") -> "ModelAccess":
        """The access itself, or one to a model that answers for all points in one call."""
        return model if isinstance(model, ModelAccess) else cls(model)

    @property
    def batch(self) -> int:
        """Points per call of the model."""
        return self._batch or 1

    def begin(self, count: int) -> None:
        """Start on a block of images: their passes are counted from 0, and all of them are selected."""
        self.passes = torch.zeros(count, 2, dtype=torch.long)
        self._selected = torch.arange(count)
        self.blind, self.flat, self.tied, self._lit = torch.zeros(4, count, dtype=torch.bool).unbind()
        self.flat.fill_(self.rectified)
        self._in_vain = torch.zeros(2, count, dtype=torch.long)
        self.targets: Tensor | None = None

    @property
    def unseen(self) -> Tensor:
        """Images (N,), on the CPU, that are `blind` or whose gradient was always zero, so that it means nothing that none of them was fooled."""
        return self.blind | ((self.passes[:, 1] > 0) & ~self._lit)

    def select(self, image: Tensor) -> None:
        """From here on points belong to these images of the block (m,), for an attack that goes on with some of them."""
        self._selected = image.cpu()

    def certain_margin(self, logits: Tensor, label: Tensor) -> Tensor:
        """The margin (n,) less the rounding tolerance: above 0 only where the image is still adversarial when predicted again."""
        return certain_margin(logits, label)

    def fooled(self, points: Tensor, value: Tensor, label: Tensor, image: Tensor | None = None) -> Tensor:
        """Which points (n,) fool, given the certain margin (n,) by `gradient`; in full precision, for one more forward pass where it needs one."""
        result = value > 0
        if self.confirm and bool(result.any()):
            rows = result.nonzero()[:, 0]
            exact = self.logits(points[rows], rows if image is None else image[rows])
            result[rows] = self.certain_margin(exact, label[rows]) > 0
        return result

    def logits(self, points: Tensor, image: Tensor | None = None) -> Tensor:
        """Logits (n, K) in full precision, for one forward pass each."""
        return self._forward(self.model if self.confirm else self.fast, points, image)

    def judge(self, points: Tensor, image: Tensor | None = None) -> Tensor:
        """Logits (n, K) of the model itself on images in the usual memory layout, on which an attack's result rests; one forward pass each."""
        return self._forward(self.model, points.contiguous(), image)

    def _forward(self, model: Model, points: Tensor, image: Tensor | None) -> Tensor:
        def ask(part: slice) -> tuple[Tensor, ...]:
            with torch.no_grad():
                return (_mean([self._answer(model, points[part], targets, part) for _ in range(self.draws)]),)

        targets = self._targets(image)
        self._count(len(points), image, 1, 0)
        return self._in_parts(len(points), ask)[0]

    def gradient(
        self, points: Tensor, loss: Callable[..., Tensor], *given: Tensor, image: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n, K), losses loss(logits, *given) (n,) and their gradients (n, C, H, W): one forward, one backward pass each.

        The tensors in `given`, labels for example, have an entry per point. Where the loss does not depend on the pixels in a
        differentiable way the gradient is zero.
        """

        def ask(model: Model, part: Part) -> tuple[Tensor, ...]:
            answers = []
            for _ in range(self.draws):
                leaf, logits = self._differentiable(model, points[part], targets, part)
                values = loss(logits, *(each[part] for each in given))
                answers.append(
                    (logits.detach(), values.detach().expand(len(leaf)).clone(), _slope(values.sum(), leaf)[:, None])
                )
            return tuple(_mean(list(column)) for column in zip(*answers, strict=True))

        targets = self._targets(image)
        self._count(len(points), image, 1, 1)
        logits, values, gradients = self._ask_carefully(len(points), image, ask)
        return logits, values, gradients[0]

    def class_gradients(
        self, points: Tensor, label: Tensor, ranks: range, image: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Towards the wrong classes of these ranks by logit: logits (n, K), margins z_class − z_label (n, k) and their gradients (k, n, C, H, W).

        One forward and k backward passes each; of the ranks those count for which there is a class to aim at.
        """

        def ask(model: Model, part: Part) -> tuple[Tensor, ...]:
            answers = []
            for _ in range(self.draws):
                leaf, logits = self._differentiable(model, points[part], targets, part)
                if not answers:  # the classes must stay the same for every draw
                    classes = wrong_by_logit(logits, label[part], ranks.stop, self.still)[:, ranks.start :]
                gaps = logits.gather(1, classes).double() - logits.gather(1, label[part][:, None]).double()
                gradients = [_slope(gap, leaf, retain=rank + 1 < gaps.shape[1]) for rank, gap in enumerate(gaps.sum(0))]
                answers.append((logits.detach(), gaps.detach(), torch.stack(gradients, 1)))
            return tuple(_mean(list(column)) for column in zip(*answers, strict=True))

        targets = self._targets(image)
        logits, gaps, gradients = self._ask_carefully(len(points), image, ask)
        self._count(len(points), image, 1, gaps.shape[1])
        return logits, gaps, gradients

    def unit_gradients(self, points: Tensor, label: Tensor, classes: Tensor, image: Tensor | None = None) -> Tensor:
        """Directions (k, n, C, H, W) that raise each class (n, k) and lower the true one, each logit's gradient taken at unit l2 norm.

        They do not depend on a monotone function that a head applies to every logit. One forward and k + 1 backward passes each.
        """

        def ask(model: Model, part: Part) -> tuple[Tensor, ...]:
            leaf, logits = self._differentiable(model, points[part], targets, part)
            chosen = logits.gather(1, torch.cat([label[part][:, None], classes[part]], 1))
            gradients = [_slope(each, leaf, retain=True) for each in chosen.sum(0)]
            return logits.detach(), chosen.detach(), torch.stack(gradients, 1)

        targets = self._targets(image)
        self._count(len(points), image, 1, classes.shape[1] + 1)
        _, _, gradients = self._ask_carefully(len(points), image, ask)
        true, *wrong = [each / per_image(dual_norm(each, "l2").clamp(min=1e-37), each) for each in gradients]
        return torch.stack([each - true for each in wrong])

    def _ask_carefully(
        self, count: int, image: Tensor | None, ask: Callable[[Model, Part], tuple[Tensor, ...]]
    ) -> list[Tensor]:
        """What `ask` answers for so many points, its gradients (n, k, C, H, W) as k usable ones (k, n, C, H, W).

        Where one is zero or not a number, float32 may have rounded a probability to 0: those points are asked again in float64. Where it is still
        flat, the surrogate is asked, then and from there on; neither is, once it was in vain for an image `IN_VAIN` times.
        """
        with torch.enable_grad():
            answers = self._in_parts(count, lambda part: ask(self.fast, part))
            sizes = sizes_of(answers[-1])
            chosen = self._chosen(image) if len(self.passes) else None
            for number, stand_in in enumerate((self._careful, self.surrogate)):
                known = sound(answers[-2], sizes, number * FLAT)
                if number and chosen is not None:
                    known[self.flat[chosen]] = 0
                rows = (known < answers[-1].shape[1]).nonzero()[:, 0]
                if len(rows) and chosen is not None:
                    rows = rows[self._in_vain[number, chosen[rows]] < IN_VAIN]
                if not len(rows) or (model := stand_in()) is None:
                    continue
                self._count(len(rows), rows if image is None else image.cpu()[rows], 1, answers[-1].shape[1])
                better = self._in_parts(len(rows), lambda part, model=model, rows=rows: ask(model, rows[part]))
                gained = sound(better[-2], larger := sizes_of(better[-1]), number * FLAT) > known[rows]
                sizes[rows[gained]] = larger[gained].to(sizes)
                for old, new in zip(answers[number:], better[number:], strict=True):  # all but a surrogate's logits
                    old[rows[gained]] = new[gained].to(old)
                if chosen is not None:
                    self._in_vain[number, chosen[rows]] += 1
                    self._in_vain[number, chosen[rows[gained]]] = 0
                    self.flat[chosen[rows[gained]]] |= number > 0
            if chosen is not None:
                self._lit[chosen[sound(answers[-2], sizes) > 0]] = True
        gradients = [self._usable(*each, chosen) for each in zip(answers[-1].unbind(1), sizes.T, strict=True)]
        return [*answers[:-1], gradients[0][None] if len(gradients) == 1 else torch.stack(gradients)]

    def _usable(self, gradient: Tensor, size: Tensor, chosen: Tensor | None) -> Tensor:
        """Gradients (n, C, H, W) of these l1 norms (n,) without what is no number; of images whose channels move together, their mean."""
        if chosen is not None and bool((tied := self.tied[chosen]).any()):
            mean = channel_mean(gradient)
            gradient = mean if bool(tied.all()) else torch.where(per_image(tied, gradient) > 0, mean, gradient)
        bad = ~(size < float("inf"))
        if not bool(bad.any()):
            return gradient
        if chosen is not None:
            self.blind[chosen[bad.cpu()]] = True
        return gradient.nan_to_num(0.0, 0.0, 0.0)

    def _differentiable(
        self, model: Model, points: Tensor, targets: Tensor | None, part: Part
    ) -> tuple[Tensor, Tensor]:
        leaf = points.detach().requires_grad_(True)
        return leaf, self._answer(model, leaf, targets, part)

    def _answer(self, model: Model, points: Tensor, targets: Tensor | None, part: Part) -> Tensor:
        remedy = "; where it takes only so many at once, state batch_size"
        with one_message(f"model failed on images {tuple(points.shape)}", remedy):
            logits = model(points)
        return logits if targets is None else one_against_rest(logits, targets[part].to(logits.device))

    def _chosen(self, image: Tensor | None) -> Tensor:
        return self._selected if image is None else self._selected[image.cpu()]

    def _targets(self, image: Tensor | None) -> Tensor | None:
        return None if self.targets is None else self.targets[self._chosen(image)]

    def _count(self, points: int, image: Tensor | None, forward: int, backward: int) -> None:
        forward, backward = forward * self.draws, backward * self.draws
        self.budget.spend(points * forward, points * backward)
        if len(self.passes):
            chosen = self._chosen(image)
            if len(chosen) != points:
                raise ValueError(f"{points} points for {len(chosen)} images: name the image of each point")
            rows = torch.bincount(chosen, minlength=len(self.passes))
            self.passes += rows[:, None] * torch.tensor([forward, backward])

    def _in_parts(self, count: int, ask: Callable[[slice], Sequence[Tensor]]) -> Sequence[Tensor]:
        parts, start = [], 0
        while start < count or not parts:
            stop = min(start + (self._batch or count), count)
            try:
                parts.append(ask(slice(start, stop)))
                start = stop
                continue
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or self._batch == 1 or count == 1:
                    raise
            self._batch = (self._batch or count) // 2
            free_memory()  # after the error, whose traceback holds what was computed
        return parts[0] if len(parts) == 1 else tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _slope(value: Tensor, leaf: Tensor, retain: bool = False) -> Tensor:
    """The gradient of a value with respect to the leaf; zero where it does not depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(value, leaf, retain_graph=retain, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient


def _mean(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(tensors).mean(0)
