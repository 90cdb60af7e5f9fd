"""The classifier of a model and a task: its logits in the order of the task's classes, and refused before work begins if it cannot serve."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from palpate.core.errors import InputError
from palpate.data.dataset import Dataset
from palpate.models.adapt import OneFinding, as_logits_model
from palpate.models.build import build
from palpate.models.checkpoint import is_own, read_spec
from palpate.models.classifier import Classifier
from palpate.models.predict import evaluating, one_message
from palpate.study.network import ModelSpec


class ValueRangeWarning(UserWarning):
    """What a network is said to take contradicts itself or the files."""


def build_model(model: ModelSpec, seed: int, size: int, classes: Sequence[str], channels: int) -> Classifier:
    """Build the untrained model; its random weights depend on the seed alone.

    Args:
        model: what is asked for.
        seed: of random weights.
        size, channels: of the task's images; the model's own channels are used where it states them.
        classes: of the task, in label order. Where the network's classes are known by name, its logits are put into this order.
    """
    given: dict[str, Any] = {"channels": channels, "num_classes": len(model.findings or classes)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = build(**(given | model.build_arguments()), size=size)
    if model.findings is None and built.classes is not None:
        built.in_order(classes)
    return built


def column(model: ModelSpec, finding: str, findings: Sequence[str] = ()) -> int | None:
    """Which logit of a multi-label network answers for a finding; None of any other network.

    Args:
        findings: of the task, where it has several: what a network answers for that does not state its own.

    Raises:
        InputError: the network has no such finding.
    """
    names = tuple(model.findings or findings)
    if not names:
        return None
    if finding not in names:
        why = f"and the task is about {finding!r}; state the task's finding"
        raise InputError(f"findings: {model.name} answers for {', '.join(names)}, {why}")
    return names.index(finding)


def two_logits(model: Classifier, place: int | None) -> nn.Module:
    """The model with a logit for each class of the task: of one logit, or one of several findings, the two logits (0, z)."""
    return model if place is None and model.num_classes > 1 else as_logits_model(model, place)


def inner(model: nn.Module) -> Classifier:
    """The classifier inside what `two_logits` gave."""
    found = model.model if isinstance(model, OneFinding) else model
    assert isinstance(found, Classifier)
    return found


def check_model(model: ModelSpec, seed: int, dataset: Dataset, trains: bool) -> nn.Module:
    """Build a model of a study once, so that whatever cannot work is found before hours of work; gives it with a logit for each class.

    Raises:
        InputError: it cannot be built; its channels or its logits are not those of the task; it is to be trained and cannot, or is not
            to be trained and has random weights.
    """
    task = dataset.task.name
    try:
        built = build_model(model, seed, dataset.size, dataset.findings or dataset.classes, dataset.channels)
        if built.channels != dataset.channels:
            why = f"and the images of {task} have {dataset.channels}; {_remedy(built, dataset)}"
            raise InputError(f"channels: the network takes {built.channels}, {why}")
        places = [column(model, one, dataset.findings) for one in dataset.findings or (dataset.finding,)]
        place = places[0]
        logits = 2 if place is not None or built.num_classes == 1 else built.num_classes
        if logits != len(dataset.classes):
            has = f"{logits} classes, and {task} has {len(dataset.classes)} ({', '.join(dataset.classes)})"
            remedy = "choose the task's classes or give findings where they do not exclude each other"
            raise InputError(f"num_classes: the network has {has}; {remedy}")
        for doubt in range_doubts(model, built, dataset):
            warnings.warn(f"model {model.name} on {task}: {doubt}", ValueRangeWarning, stacklevel=3)
        if trains:
            _check_trainable(built, foreign=model.findings not in (None, dataset.findings))
        else:
            _check_trained(model, built, dataset)
        ready = two_logits(built.eval(), place)
        with evaluating(ready), torch.no_grad(), one_message("module: failed on one image"):
            answers = ready(torch.zeros(1, built.channels, dataset.size, dataset.size))
        if not answers.isfinite().all():
            remedy = "are mean, std and value_range right?"
            raise InputError(f"module: its logits for a black image are not finite; {remedy}")
    except InputError as error:
        raise InputError(f"model {model.name}: {error}") from error
    return ready


def range_doubts(model: ModelSpec, built: Classifier, dataset: Dataset) -> list[str]:
    """What in the stated normalisation contradicts itself or the files, with the numbers."""
    stated = model.normalization
    if stated is None or isinstance(stated, str):
        return []
    low, high = stated.value_range or (0.0, 1.0)
    scale, doubts = dataset.scale, []
    if scale.unit and max(abs(low), abs(high)) > 255 and (low, high) != (scale.low, scale.high):
        files = f"black to white is {scale.low:g} to {scale.high:g} {scale.unit} in the files"
        remedy = f"give the task value_range = [{low:g}, {high:g}]"
        doubts.append(f"the network takes {low:g} to {high:g}, and {files}; {remedy}")
    mean, std = built.normalize.mean.flatten().tolist(), built.normalize.std.flatten().tolist()
    if max(mean) > 1 or min(mean) < 0 or (stated.mean is not None and max(mean) < 0.01 and max(std) < 0.002):
        low, high = (low, high) if stated.window is None else (0.0, 1.0)
        written = ", ".join(f"{low + value * (high - low):g}" for value in mean)
        remedy = "give the value_range that it is of"
        doubts.append(f"mean {written} does not lie among pixels of {low:g} to {high:g}; {remedy}")
    return doubts


def _remedy(built: Classifier, dataset: Dataset) -> str:
    if built.channels in (1, 3) and dataset.task.how_to_get == "your own images":
        return f"give channels = {built.channels} in the task, or the channels of the network"
    return "give the network's channels, if it takes others, or choose another network"


def _check_trainable(built: Classifier, foreign: bool) -> None:
    parameters = list(built.parameters())
    half = [parameter.dtype for parameter in parameters if parameter.dtype in (torch.float16, torch.bfloat16)]
    reasons = {
        "its multi-label head is trained elsewhere": foreign,
        "an exported program has no training mode": any(hasattr(part, "program") for part in built.modules()),
        "it has no parameter that takes a gradient": not any(parameter.requires_grad for parameter in parameters),
        f"its weights are {next(iter(half), None)}, in which small steps vanish": half,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason is not None:
        remedy = "give training = { epochs = 0 } to use it as it is"
        raise InputError(f"training: it cannot be trained, because {reason}; {remedy}")


def _check_trained(model: ModelSpec, built: Classifier, dataset: Dataset) -> None:
    """Refuse weights that cannot stand without training: random ones, a backbone's alone, or those of other classes.

    A function may make a network that is trained already, which shows in that it makes the same one under another seed.
    """
    path, names = Path(model.weights or ""), dataset.findings or dataset.classes
    if model.weights and is_own(path):
        learned = read_spec(path)["extra"].get("classes")
        if learned is not None and list(learned) != list(names):
            known = f"{path} was trained on the classes {', '.join(learned)}"
            raise InputError(f"weights: {known}, and the task has {', '.join(names)}")
    if built.trained:
        return
    other = build_model(model, 1_000_003, dataset.size, names, dataset.channels).state_dict()
    own = built.state_dict()
    random = [name for name, tensor in own.items() if not torch.equal(tensor, other[name])]
    if random:
        fault = f"epochs = 0 trains nothing, and {len(random)} of {len(own)} tensors are random (first {random[0]})"
        raise InputError(f"weights: {fault}; give a file of weights, given {model.weights or 'none'}")
