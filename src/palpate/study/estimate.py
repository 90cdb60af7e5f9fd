"""What a study would cost on this machine: passes counted from its settings, seconds from a few passes of each model made now.

Nothing is decoded or downloaded. Times are upper bounds where a stage may end early (early stopping, images that fall quickly).
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.benchmark import Timer

from palpate.core.grouping import grouped
from palpate.core.run_folder import RunFolder
from palpate.data.synthetic.stored import COUNTS
from palpate.data.tasks import Task, find_task, overview
from palpate.models.classifier import Classifier
from palpate.models.predict import evaluating
from palpate.study.classifier import build_model
from palpate.study.spec import Study, TaskSpec
from palpate.study.stages.context import read_own

TIMED_BATCH = 4


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One model of one task, all seeds together."""

    task: str
    model: str
    present: bool  # the data are on this machine
    complete: int  # stages of it that the run folder already holds
    stages: int
    training_passes: int  # at most
    attack_passes: int
    seconds: float
    megabytes: float  # of disk, for weights, samples and maps


def estimate(study: Study, out: Path, root: Path | None, device: torch.device) -> Iterator[Estimate]:
    """Estimate every model of every task.

    Args:
        study: what is asked for.
        out: the run folder, which need not exist; complete stages are counted there.
        root: the folder of the publishers' data folders.
        device: where the timed passes are made.

    Raises:
        InputError: a task or a model that cannot be built.
    """
    here = {status.task.name for status in overview(root) if status.present}
    made = _complete(out)
    for task in study.tasks:
        known = read_own(study, task)[0] if task.own else find_task(task.name)
        counts = _counts(task, known)
        grids = [len(attack.epsilons or task.epsilons or study.epsilons or ()) for attack in study.attacks]
        for attack in study.attacks:
            attack.goal(known.classes)  # refuses a target that the task lacks
        for model in study.models:
            bare = model.model_copy(update={"weights": None})  # which weights changes no time, and may need a download
            classes, channels = task.findings or known.classes, study.channels_of(task) or 3
            built = build_model(bare, study.seeds[0], task.size, classes, channels)
            train, frozen = _seconds(built, task.size, device)
            spec = study.training_of(task, model)
            per_seed = round(spec.epochs * max(1, spec.epoch_fraction * counts["train"]))
            asked = [(one.images, one.attack.expected_passes(n)) for one, n in zip(study.attacks, grids, strict=True)]
            asked += [(one.images, one.attack.expected_passes(len(one.grid(task.size)))) for one in study.corruptions]
            attacked = sum(min(images or counts["test"], counts["test"]) * passes for images, passes in asked)
            seeds, questions = len(study.seeds), max(len(task.findings), 1)
            examined = sum(not attack.attack.every_epsilon for attack in study.attacks)
            evaluated = 1 + len(study.methods_of(model)) + len(asked) + max(examined, 1)
            parameters = sum(parameter.numel() for parameter in built.parameters())
            pictures = study.explain.images * (max(grids) + 1) * task.size**2 * 4 * (built.channels + 2)
            names = [f"{model.name}#{seed}" for seed in study.seeds]
            done = [complete for key, complete in made.items() if study.task_of(key[0]) is task and key[1] in names]
            present = known.kind == "synthetic" or task.own or task.name in here
            stages, made_already = seeds * (1 + questions * evaluated), sum(map(sum, done))
            passes = seeds * per_seed, seeds * questions * attacked
            seconds = seeds * (per_seed * train + questions * attacked * frozen)
            megabytes = seeds * (4 * parameters + questions * pictures * len(study.attacks)) / 1e6
            yield Estimate(task.name, model.name, present, made_already, stages, *passes, seconds, megabytes)


def _counts(task: TaskSpec, known: Task) -> dict[str, int]:
    """Images per split: as published or as synthetic images are generated, under the study's limits."""
    counts = {}
    shares = (0, 0, 1) if task.test_only else task.fractions
    for (name, limit), share in zip(task.limits.items(), shares, strict=True):
        available = COUNTS[name] if known.kind == "synthetic" else round(share * known.images)
        counts[name] = limit if limit is not None and (known.kind == "synthetic" or limit < available) else available
    return counts


def _seconds(model: Classifier, size: int, device: torch.device) -> tuple[float, float]:
    """Seconds per image of a training pass and of a frozen forward and backward pass, each timed once after a warm-up."""
    model.to(device)
    images = torch.rand(TIMED_BATCH, model.channels, size, size, device=device)

    def once(frozen: bool) -> None:
        model(images.clone().requires_grad_(frozen)).logsumexp(1).sum().backward()
        model.zero_grad()

    def timed(frozen: bool) -> float:
        timer = Timer("once(frozen)", globals={"once": once, "frozen": frozen}, num_threads=torch.get_num_threads())
        return timer.timeit(1).mean / TIMED_BATCH

    model.train()
    train = timed(False)
    with evaluating(model):
        return train, timed(True)


def _complete(out: Path) -> dict[tuple[str, str], list[bool]]:
    """For each task and model, which of the stages planned in the folder are complete."""
    if not (out / "study.json").is_file():
        return {}
    run = RunFolder(out)
    return grouped(((stage.task, stage.model_id), run.complete(stage.id)) for stage in run.study().stages)
