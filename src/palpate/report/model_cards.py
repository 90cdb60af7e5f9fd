"""Documents about a run for other systems: a card for each trained network, as the Hugging Face hub has it, and the bill of materials."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from palpate.core import formatting
from palpate.report.results import NO_ATTACK, Curve, Point
from palpate.report.run_data import RunData
from palpate.report.section import text
from palpate.report.sections.limits import ALWAYS
from palpate.report.stages import MADE_ON


def model_cards(data: RunData) -> dict[str, str]:
    """README.md of each model that has results, by the name of its folder."""
    found = {}
    for task, results in data.results.tasks.items():
        for model in dict.fromkeys(one.model_id for one in results.curves):
            curves = [one for one in results.curves if one.model_id == model]
            folder = re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{task}-{model}").strip(".-") or "model"
            with formatting.native(results.scale):
                found[folder] = _card(data, task, model, curves)
    return found


def _card(data: RunData, task: str, model: str, curves: list[Curve]) -> str:
    record = data.study.tasks[task]
    measured = [_measured(one, first=one is curves[0]) for one in curves]
    about = {"task": {"type": "image-classification"}, "dataset": {"name": record.title, "type": task}}
    index = [{"name": model, "results": [about | {"metrics": each} for each in measured if each]}]
    told: dict[str, Any] = {"index": json.dumps(index, ensure_ascii=False), "model": model, "record": record}
    told["points"] = [(one.attack_id, where, point) for one in curves for where, point in _points(one)]
    told["checks"] = [one for one in data.results.checks if (one.task, one.model_id) == (task, model)]
    return text("model_card.md", settings=list(_settings(data, task, model)), limits=ALWAYS, **told)


def _measured(one: Curve, first: bool) -> list[dict[str, Any]]:
    """The accuracies of a curve as the hub lists them, the clean one with the first curve only."""
    points = [("clean accuracy", one.clean)] if one.clean and first else []
    under = f"accuracy under {one.attack_id} at ε = "
    points += [(f"{under}{each.epsilon:.6g} ({one.norm})", each) for each in one.attacked]
    known = [(name, each.accuracy) for name, each in points if each.accuracy is not None]
    return [{"type": "accuracy", "name": name, "value": value} for name, value in known]


def _settings(data: RunData, task: str, model: str) -> Iterator[tuple[str, str]]:
    """What the training was asked for, and the checksum of what it gave."""
    for stage in data.complete("train", task, model):
        asked = {name: stage.spec[name] for name in ("model", "training", "seed") if stage.spec.get(name) is not None}
        yield from ((name, json.dumps(value, ensure_ascii=False)) for name, value in asked.items())
        if stage.weights:
            yield "weights, SHA-256", stage.weights


def _points(one: Curve) -> list[tuple[str, Point]]:
    """The clean prediction and each epsilon in words, with what was measured there."""
    points = [(formatting.epsilon(point.epsilon, one.norm), point) for point in one.attacked]
    if one.attack_id != NO_ATTACK:
        return [("clean, attacked images", one.points[0]), *points]
    return [("clean, whole test split", one.clean), *points] if one.clean else points


def bill_of_materials(data: RunData) -> dict[str, Any]:
    """What the run's stages recorded: each version of each package, each trained network, each data set.

    The serial number is made from the study, so the same run gives the same document.

    Source: CycloneDX specification 1.5, https://cyclonedx.org/docs/1.5/json/.
    """
    study = data.study
    serial = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{study.name} {study.created}')}"
    made = {"made_with": data.made_with(), "made_on": MADE_ON, "trained": data.complete("train")}
    return json.loads(text("sbom.json", study=study, serial=serial, **made))
