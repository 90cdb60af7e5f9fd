"""The methods of a run as text that can be pasted into an article, with the sources it cites as BibTeX."""

import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from palpate.core import formatting
from palpate.report.run_data import RunData
from palpate.report.stages import MADE_ON, Stage

ATTACKS = {
    "minimum-norm": "a minimum-norm attack, which finds for each image the smallest perturbation that changes the prediction [palpate]",
    "ensemble": "an ensemble of APGD on several losses [croce2020] and Square [andriushchenko2020], followed by a minimum-norm descent [palpate]",
    "pgd": "projected gradient descent [madry2018]",
    "apgd": "APGD [croce2020]",
    "square": "Square [andriushchenko2020]",
    "foolbox-pgd": "the projected gradient descent [madry2018] of Foolbox [rauber2017]",
}
MAPS = {
    "grad-cam": "Grad-CAM [selvaraju2017]",
    "integrated-gradients": "integrated gradients [sundararajan2017]",
    "soft-attention": "the weights of soft attention [datta2021]",
}


def methods(data: RunData) -> list[str]:
    """Paragraphs of the methods, sources in brackets by their BibTeX key; only what the run holds is stated."""
    parts = [*(_images(data, task) for task in data.results.tasks), _models(data), *_attacks(data), _maps(data)]
    return [part for part in [*parts, _checks(data), _statistics(data), _software(data)] if part]


def cited(paragraphs: Iterable[str]) -> str:
    """The BibTeX entries that the paragraphs cite, in the order of the file."""
    text = resources.files("palpate.report").joinpath("references.bib").read_text(encoding="utf-8")
    keys = set(re.findall(r"[a-z]+\d{4}|palpate", " ".join(re.findall(r"\[([^\]]*)\]", " ".join(paragraphs)))))
    entries = re.split(r"\n(?=@)", text.strip())
    return "\n".join(entry.strip() + "\n" for entry in entries if entry.partition("{")[2].partition(",")[0] in keys)


def _images(data: RunData, task: str) -> str:
    record = data.study.tasks[task]
    counts = ", ".join(
        f"{record.images.get(split, 0)} {name}"
        for split, name in (("train", "training"), ("val", "validation"), ("test", "test"))
    )
    groups = (
        f" of {sum(record.groups.values())} patients or lesions, none of which is in two splits"
        if record.groups
        else ""
    )
    return (
        f"Images of {record.title} ({record.cite}): {counts} images{groups}, {record.size} × {record.size} pixels, values scaled to [0, 1]. "
        f"Classes: {', '.join(record.classes)}. " + " ".join(map(formatting.sentence, record.notes))
    ).strip()


def _models(data: RunData) -> str:
    stages = data.complete("train")
    if not stages:
        return ""
    names = dict.fromkeys(re.sub(r"#\d+$", "", stage.model_id) for stage in stages)
    seeds = len({stage.model_id.rpartition("#")[2] for stage in stages})
    training = _settings(_common(stage.planned.spec.get("training") or {} for stage in stages))
    attention = (
        " Soft attention is that of [datta2021]." if any("attention" in _text(stage) for stage in stages) else ""
    )
    return (
        f"Models: {', '.join(names)}, each trained with {formatting.plural(seeds, 'seed')}"
        + (f" (settings shared by all: {training})" if training else "")
        + f".{attention}"
    )


def _attacks(data: RunData) -> list[str]:
    found: dict[str, str] = {}
    for stage in data.complete("attack"):
        spec = stage.planned.spec.get("attack", {})
        kind = spec.get("attack", "") if isinstance(spec, dict) else str(spec)
        words = ATTACKS.get(
            "ensemble" if kind == "ensemble" else "minimum-norm" if kind in ("fast", "standard") else kind,
            f"the attack {kind}",
        )
        settings = (
            _settings({name: value for name, value in spec.items() if name != "attack"})
            if isinstance(spec, dict)
            else ""
        )
        with formatting.native(data.results.tasks[stage.task].scale):
            epsilons = ", ".join(
                formatting.epsilon(value, spec.get("norm", "linf")) for value in stage.planned.spec.get("epsilons", ())
            )
        found.setdefault(
            f"{kind} {settings} {epsilons}",
            f"Test images were attacked by {words}" + (f" ({settings})" if settings else "") + f" at ε = {epsilons}.",
        )
    after = "Each adversarial image was predicted again from its stored pixels, and its distance and range were checked in double precision."
    return [*found.values(), after] if found else []


def _maps(data: RunData) -> str:
    names = dict.fromkeys(MAPS.get(stage.map_method, stage.map_method) for stage in data.complete("explain"))
    return f"Maps of what the predictions depend on were made by {' and '.join(names)}." if names else ""


def _checks(data: RunData) -> str:
    names = dict.fromkeys(
        verdict.name for one in data.results.checks for verdict in one.verdicts if verdict.status != "not run"
    )
    if not names:
        return "The attack was not verified."
    return (
        f"Whether the attack overestimates robustness was checked as recommended in [carlini2019]: {', '.join(names)}."
    )


def _statistics(data: RunData) -> str:
    contrasts = any(found.contrasts for found in data.results.tasks.values())
    return (
        "Intervals are 95% intervals: of accuracies Wilson's [wilson1927] on the effective number of images where a patient or lesion has several "
        "[korn1998]; of the median radius of the images classified correctly those of [woodruff1952]; of ranks a bootstrap over patients "
        "[wiesenfarth2021]."
        + (
            " Two models were compared on the same images, with an exact McNemar test [mcnemar1947] for single trainings and a t-test over trainings "
            "otherwise, adjusted over the epsilons by Holm's method [holm1979]."
            if contrasts
            else ""
        )
    )


def _software(data: RunData) -> str:
    found = data.made_with()
    devices = ", ".join(found.get("device", ()))
    named = ", ".join(f"{name} {versions[-1]}" for name, versions in found.items() if name not in ("palpate", *MADE_ON))
    return f"All was computed with palpate {data.study.palpate} [palpate]" + (
        f" ({named}) on {devices}." if named else "."
    )


def _text(stage: Stage) -> str:
    return "" if stage.planned.model_id.partition("#")[0].find("+") < 0 else str(stage.planned.spec.get("model", ""))


def _common(specs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The settings that all have alike."""
    every = list(specs)
    return (
        {name: value for name, value in every[0].items() if all(one.get(name) == value for one in every)}
        if every
        else {}
    )


def _settings(values: dict[str, Any]) -> str:
    """Settings on one line; tables within them are left out."""
    return ", ".join(
        f"{name} {value}"
        for name, value in values.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    )
