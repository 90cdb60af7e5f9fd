"""From a study to its cells: what must be made, named by everything that changes it, in an order in which it can be made.

A cell's fingerprint hashes its specification, its parents, the identity of the data and a version number per kind, and nothing else: neither the
device nor the folder, so a study can be moved and go on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palpate.core.run_folder import Cell, sha256
from palpate.core.spec import Spec, fingerprint
from palpate.study.spec import AttackSpec, ModelSpec, Study, TaskSpec

VERSIONS = {"train": 1, "predict": 1, "attack": 2, "explain": 1, "trust": 2}
"""Raised when a kind of cell changes what it computes, so that old results are not taken for new ones."""


def plan(study: Study, identities: Mapping[str, str]) -> tuple[Cell, ...]:
    """List the cells of a study, parents first.

    Args:
        study: what is asked for.
        identities: for each task by name, the identity of its images, labels and splits.

    Returns:
        train, predict, attack, explain and trust cells for every task, model and seed.
    """
    cells: list[Cell] = []
    for task in study.tasks:
        pairs = [(model, seed) for model in study.models for seed in study.seeds]
        trained = [_train(study, task, model, seed, identities[task.name]) for model, seed in pairs]
        for index, (model, seed) in enumerate(pairs):
            siblings = trained[index + 1 :] + trained[:index]
            cells += _branch(study, task, model, seed, trained[index], siblings[:1])
    return tuple(cells)


def _train(study: Study, task: TaskSpec, model: ModelSpec, seed: int, identity: str) -> Cell:
    data = _spec(task, {"epsilons", "epsilon_reading", "training"}) | {"identity": identity}
    training = _spec(study.training_of(task))
    spec = {"data": data, "model": _model(model), "training": training, "seed": seed}
    return _cell("train", task, model, seed, spec)


def _branch(study: Study, task: TaskSpec, model: ModelSpec, seed: int, train: Cell, siblings: list[Cell]) -> list[Cell]:
    """The cells of one model: predicted, attacked by each attack, explained on the first attack's samples, and each sweep examined.

    A sibling is another model of the task, trained independently: what fools it should not fool this one where the attack found nothing.
    """
    epsilons = list(study.epsilons_of(task))
    made = [train, _cell("predict", task, model, seed, {}, (train,))]
    attacks: list[Cell] = []
    sweeps: list[Cell] = []
    for attack in study.attacks:
        spec = {"attack": _spec(attack), "epsilons": epsilons, "samples": study.explain.images}
        attacks.append(_cell("attack", task, model, seed, spec, (train,), f" by {attack_id(attack)}"))
        if attack.method == "sweep":
            sweeps.append(attacks[-1])
    explain = _cell("explain", task, model, seed, {"layer": study.explain.layer}, (train, attacks[0]))
    examined = _spec(study.trust) | {"epsilons": epsilons}
    trust = [
        _cell("trust", task, model, seed, examined, (train, *swept, *siblings))
        for swept in ([(sweep,) for sweep in sweeps] or [()])
    ]
    return [*made, *attacks, explain, *trust]


def _cell(
    kind: str,
    task: TaskSpec,
    model: ModelSpec,
    seed: int,
    spec: dict,
    parents: tuple[Cell, ...] = (),
    detail: str = "",
) -> Cell:
    names = tuple(parent.id for parent in parents)
    mark = fingerprint({"kind": kind, "version": VERSIONS[kind], "spec": spec, "parents": names})
    name = model_id(model, seed)
    return Cell(kind, mark, f"{kind} {name} on {task.name}{detail}", spec, task.name, name, names)


def _spec(spec: Spec, exclude: set[str] | None = None) -> dict[str, Any]:
    """A specification without what is absent, so that a setting added later leaves older cells their names."""
    return spec.model_dump(mode="json", exclude=exclude, exclude_none=True)


def _model(model: ModelSpec) -> dict[str, Any]:
    """The model's specification; a weights file counts by its content, not by its place."""
    spec = _spec(model)
    if model.weights and Path(model.weights).is_file():
        spec["weights"] = f"sha256:{sha256(Path(model.weights))}"
    return spec


def model_id(model: ModelSpec, seed: int) -> str:
    """The name of one trained model.

    >>> model_id(ModelSpec(backbone="resnet18", attention="full"), 0)
    'resnet18+full#0'
    """
    return f"{model.name}#{seed}"


def attack_id(attack: AttackSpec) -> str:
    """Tells two settings of one attack apart.

    >>> attack_id(AttackSpec(method="foolbox"))
    'foolbox-40'
    """
    return attack.name + (f"#{attack.seed}" if attack.seed else "")
