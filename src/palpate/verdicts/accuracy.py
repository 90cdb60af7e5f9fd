"""Checks of what goes in and of the clean accuracy: range and units, the accuracy that is claimed or expected, and the order of the classes.

What is measured on wrong inputs or against wrong labels is not the robustness of this model, however good the attack is. They cost a few passes,
so they come first.
"""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest
from torch import Tensor

from palpate.core.formatting import percent
from palpate.models.predict import as_tensor
from palpate.verdicts.check import CARLINI, LEAST, Finding, NotRun, check, judge, out_of, said, status_of
from palpate.verdicts.context import CheckContext

INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "from 0 to 255": lambda x: 255 * x,
    "from −1 to 1": lambda x: 2 * x - 1,
    "less their mean, over their standard deviation": lambda x: (
        (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True).clamp(min=1e-6)
    ),
    "with the channels in reverse order": lambda x: x.flip(1),
    "with black and white exchanged": lambda x: 1 - x,
}
"""Other inputs that a model may have been trained on."""

BLIND = 10.0
"""Points above always answering one class, up to which a model may be blind to images in [0, 1]."""

CLEAR, GOOD = 20.0, 0.75
"""Points gained, or accuracy reached, with another input from which a model is said to expect it: a hardly trained one may gain a little anywhere."""

CHANCE = 0.01
"""Largest p (exact McNemar, times the inputs tried) at which another input is not called better by luck."""


@check("input range", 10, 10.0, "points", f"{CARLINI} 5.7")
def input_range(context: CheckContext, threshold: float) -> Finding:
    """Images in [0, 1], spread over it, and no better classified in another range.

    A network that expects bytes sees [0, 1] as black: it answers one class, and no small perturbation changes that. Other ranges are tried only
    on a model that does little better than one answer for all.
    """
    total = len(context.images)
    low, high = float(context.images.amin()), float(context.images.amax())
    if context.outside:
        words = said("input range, outside", outside=out_of(context.outside, total), low=low, high=high)
        return Finding("fail" if context.outside >= LEAST else "warn", 100 * context.outside / total, *words)
    if high <= 2 / 255:
        return Finding("fail" if total >= LEAST else "warn", 100.0, *said("input range, dark", high=high))
    right = context.clean.argmax(1) == context.labels
    always = context.labels == context.labels.bincount().argmax()  # answering the commonest class
    best, name, p = 0, "", 1.0
    if context.points(int(right.sum()) - int(always.sum())) <= BLIND:
        name, best, p = better_input(context, right if int(right.sum()) >= int(always.sum()) else always)
    gain = context.points(best)
    status = status_of(gain, best, threshold)
    if status == "pass":
        return Finding(status, gain, *said("input range"))
    told = {"name": name, "more": out_of(best, total), "p": p}
    if p > CHANCE or (gain < CLEAR and int(right.sum()) + best < GOOD * total):
        return Finding("warn", gain, *said("input range, perhaps", **told))
    return Finding(status, gain, *said("input range, other", **told))


def better_input(context: CheckContext, before: Tensor) -> tuple[str, int, float]:
    """The input of `INPUTS` with which the model is right most often: its name, how many more images than `before` (m,), and p.

    The name is "" where none is better; p is McNemar's, exact, times the inputs tried.
    """
    name, best, p = "", 0, 1.0
    for each, change in INPUTS.items():
        after = context.access.logits(change(context.images)).argmax(1) == context.labels
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained - lost > best:
            name, best = each, gained - lost
            p = min(1.0, len(INPUTS) * float(binomtest(gained, gained + lost).pvalue))
    return name, best, p


ASKED = 5
"""How often an image that is not as claimed is predicted, since the model may be random."""

RENAMED = 0.005
"""Largest p (exact McNemar) at which other names are not called better by luck."""

SHARE = 10
"""All images of a sweep are predicted where that costs at most a tenth of the budget; else those of the sample."""


@check("class order", 15, 10.0, "points", f"{CARLINI} 5")
def class_order(context: CheckContext, threshold: float) -> Finding:
    """Points of accuracy gained by giving the model's classes other names: labels permuted, counted from 1, or inverted.

    The names are chosen on one half of the images and tried on the other, so that a model that guesses gains nothing.
    """
    logits = context.predicted
    classes, labels = logits.shape[1], context.labels
    beyond = int((labels >= classes).sum())
    if beyond:
        told = {"low": int(labels.min()), "high": int(labels.max()), "classes": classes, "last": classes - 1}
        status = "fail" if beyond >= LEAST else "warn"
        return Finding(status, context.points(beyond), *said("class order, beyond", **told))
    predicted = logits.argmax(1)
    renamed = torch.empty_like(predicted)
    order = torch.randperm(len(labels), generator=context.generator(8)).to(labels.device)
    for chosen, tried in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        table = torch.zeros(classes, classes)
        table.index_put_((predicted[chosen].cpu(), labels[chosen].cpu()), torch.ones(len(chosen)), accumulate=True)
        table += 0.5 * torch.eye(classes)  # a class keeps its name where nothing says otherwise
        _, names = linear_sum_assignment(table.numpy(), maximize=True)
        renamed[tried] = torch.as_tensor(names).to(labels.device)[predicted[tried]]
    gained = int(((renamed == labels) & (predicted != labels)).sum())
    lost = int(((renamed != labels) & (predicted == labels)).sum())
    gain, sure = gained - lost, gained > lost and binomtest(gained, gained + lost).pvalue <= RENAMED
    accuracy = percent(float((predicted == labels).float().mean()))
    words = said("class order", accuracy=accuracy, more=out_of(gain, len(labels)))
    return judge(context.points(max(gain, 0)), gain if sure else 0, threshold, *words)


@check("clean accuracy", 25, 1.0, "points", f"{CARLINI} 5", "either")
def clean_accuracy(context: CheckContext, threshold: float) -> Finding:
    """The clean accuracy that the sweep claims, and the one that was expected, against the model's own on the same images."""
    if context.swept is not None and context.swept.relabelled:
        others, total = context.swept.relabelled, len(context.every_label)
        words = said("clean accuracy, relabelled", others=out_of(others, total))
        return Finding("fail" if others >= LEAST else "warn", 100 * others / total, *words)
    known, right, claimed = _predictions(context)
    if not known:
        raise NotRun("the sweep was interrupted before its first image")
    accuracy = float(right.float().mean())
    figure, status, words = 0.0, "pass", [f"the model is right on {percent(accuracy)} of {known} images"]
    if claimed is not None:
        wrong = int((claimed & ~right).sum())
        figure = 100 * wrong / known
        status = status_of(figure, wrong, threshold)
        words.append(f"the sweep claims {percent(float(claimed.float().mean()))}")
        if status != "pass":
            words += said("clean accuracy, wrong", wrong=out_of(wrong, known))
    if context.expect is not None:
        short = 100 * (context.expect - accuracy)
        count = int(right.sum())
        unlikely = binomtest(count, known, context.expect, "less").pvalue <= CHANCE
        words.append(f"{percent(context.expect)} was expected")
        if short > threshold and unlikely:
            name, _, _ = better_input(context, context.clean.argmax(1) == context.labels)
            figure, status = max(figure, short), "fail" if known >= LEAST else "warn"
            words += said("clean accuracy, short") + [f"images {name} are classified better"] * bool(name)
    text = "; ".join(words)
    return Finding(status, figure, f"{text[0].upper()}{text[1:]}.")


def _predictions(context: CheckContext) -> tuple[int, Tensor, Tensor | None]:
    """How many images were predicted, which of them the model classifies correctly, and which of them the sweep says it does.

    All images are predicted where somebody says how many are right and that costs little. A prediction that is not as the sweep says is made again
    up to four times, and counts as said if one of them agrees.
    """
    budget, sweep = context.access.budget, None if context.swept is None else context.swept.whole
    said = sweep is not None or context.expect is not None
    everything = said and len(context.every_label) * SHARE <= (budget.limit or 0)
    if not everything and sweep is None:
        return len(context.labels), context.clean.argmax(1) == context.labels, None
    places = torch.arange(len(context.every_label)) if everything else context.places
    claimed = None
    if sweep is not None:
        places = places[sweep.done[places]]
        blind = torch.tensor([word == "no gradient" for word in sweep.status])
        claimed = (blind | (sweep.radius > 0))[places]
    context.need(len(places))
    right = torch.zeros(len(places), dtype=torch.bool)
    left = torch.arange(len(places))
    for _ in range(ASKED):
        if not len(left) or len(left) > budget.left:
            break
        for part in left.split(context.access.batch):
            images = torch.cat([as_tensor(context.every_image[place : place + 1]) for place in places[part].tolist()])
            logits = context.access.logits(images.to(context.images))
            right[part] = logits.argmax(1).cpu() == context.every_label[places[part]]
        left = left[:0] if claimed is None else left[right[left] != claimed[left]]
    return len(places), right, claimed
