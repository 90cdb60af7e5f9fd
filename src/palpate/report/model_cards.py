"""A model card for each trained network, in the format of the Hugging Face hub: what it is, what was measured, and what was not."""

import json
import re
from typing import Any

from palpate.core import formatting
from palpate.report.limits import ALWAYS
from palpate.report.results import NO_ATTACK, Curve
from palpate.report.run_data import RunData


def model_cards(data: RunData) -> dict[str, str]:
    """README.md of each model that has results, by the name of its folder."""
    found = {}
    for task in data.results.tasks:
        curves = data.results.tasks[task].curves
        for model in dict.fromkeys(one.model_id for one in curves):
            with formatting.native(data.results.tasks[task].scale):
                found[_file_name(f"{task}-{model}")] = _card(
                    data, task, [one for one in curves if one.model_id == model]
                )
    return found


def _card(data: RunData, task: str, curves: list[Curve]) -> str:
    model, record = curves[0].model_id, data.study.tasks[task]
    head = {
        "library_name": "palpate",
        "license": "other",
        "pipeline_tag": "image-classification",
        "tags": ["palpate", "medical-imaging", "adversarial-robustness"],
        "metrics": ["accuracy"],
        "model-index": [{"name": model, "results": _results(task, record.title, curves)}],
    }
    checks = [one for one in data.results.checks if (one.task, one.model_id) == (task, model)]
    source = f"{record.title}, {record.cite}, licence {record.licence}. Classes: {', '.join(record.classes)}."
    notes = _plain(" ".join(map(formatting.sentence, record.notes)))
    header = ["| attack | ε | images | classified correctly [95% interval] |", "|---|---|--:|--:|"]
    parts = {
        "Model": _about(data, task, model),
        "Data": [_plain(source), f"Test images: {record.images.get('test', 0)}. {notes}"],
        "Evaluation": [*header, *(line for one in curves for line in _rows(one))],
        "Checks of the attack": [_plain(f"- {one.summary}") for one in checks] or ["Not verified: no checks were run."],
        "Limits": [f"- {one}" for one in ALWAYS],
    }
    lines = ["---", *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()), "---", ""]
    lines += [f"# {_plain(model)} on {_plain(record.title)}", ""]
    lines += ["**Research software, not a medical device: not for the care of patients.**", ""]
    return "\n".join([*lines, *(line for title, part in parts.items() for line in (f"## {title}", "", *part, ""))])


def _results(task: str, title: str, curves: list[Curve]) -> list[dict[str, Any]]:
    found = []
    for one in curves:
        points = [
            (f"accuracy under {one.attack_id} at ε = {point.epsilon:.6g} ({one.norm})", point) for point in one.attacked
        ]
        if one.clean and one is curves[0]:
            points.insert(0, ("clean accuracy", one.clean))
        metrics = [
            {"type": "accuracy", "name": name, "value": point.accuracy}
            for name, point in points
            if point.accuracy is not None
        ]
        if metrics:
            found.append(
                {"task": {"type": "image-classification"}, "dataset": {"name": title, "type": task}, "metrics": metrics}
            )
    return found


def _about(data: RunData, task: str, model: str) -> list[str]:
    lines = []
    for stage in data.complete("train", task, model):
        spec = stage.planned.spec
        lines += [
            f"- {name}: `{json.dumps(spec[name], ensure_ascii=False)}`"
            for name in ("model", "training", "seed")
            if spec.get(name) is not None
        ]
        lines += [f"- weights, SHA-256: `{stage.weights}`"] if stage.weights else []
    return [_plain(line) for line in lines] or ["The training is not part of this run."]


def _rows(one: Curve) -> list[str]:
    points = (
        [("clean, whole test split", one.clean)]
        if one.attack_id == NO_ATTACK
        else [("clean, attacked images", one.points[0])]
    )
    points += [(formatting.epsilon(point.epsilon, one.norm), point) for point in one.attacked]
    return [
        f"| {_plain(one.attack_id)} | {where} | {point.n} | {formatting.percent_interval(point.accuracy, point.low, point.high, point.n)} |"
        for where, point in points
        if point
    ]


def _plain(text: str) -> str:
    """Text from outside as Markdown shows it: nothing becomes a tag, a table or a line of its own."""
    return re.sub(r"\s+", " ", text).replace("<", "&lt;").replace("|", "\\|")


def _file_name(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip(".-") or "model"
