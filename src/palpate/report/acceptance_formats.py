"""An acceptance as text, JUnit XML, SARIF and a certificate in HTML."""

from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from palpate.core import formatting
from palpate.core.io import write_json, write_text
from palpate.report.acceptance import Acceptance
from palpate.report.section import render
from palpate.statistics.acceptance import Judgement
from palpate.statistics.criteria import METRICS

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_CLEAN = "CLAIM 2024: performance metrics with their uncertainty; TRIPOD+AI: performance with confidence intervals"
_ATTACKED = "CLAIM 2024: robustness analysis; EU AI Act, article 15: robustness, and resilience against attempts to alter a system's performance"
_ERRORS = (
    "CLAIM 2024: analysis of incorrectly classified cases; AAMI CR515: harm that a change of the input may lead to"
)
GUIDANCE = {
    "clean accuracy": _CLEAN,
    "clean balanced accuracy": _CLEAN,
    "robust accuracy": _ATTACKED,
    "robust balanced accuracy": _ATTACKED,
    "median radius": _ATTACKED,
    "missed disease": _ERRORS,
    "false alarm": _ERRORS,
    "checks": "EU AI Act, article 15: technical measures behind the stated robustness; TRIPOD+AI: limitations of the evaluation",
}
"""What an item of a certificate supports. It is no claim of conformity."""


def value(found: Judgement) -> str:
    """What was measured, with its interval."""
    if found.measured is None:
        return formatting.NO_VALUE
    one = found.measured
    if found.metric in METRICS and METRICS[found.metric].is_radius:
        value, low, high = (f"{number:.3g}" for number in (one.value, one.low, one.high))
        return f"{value} [{low}, {high}]".replace("inf", "above the largest epsilon")
    if found.limit < 0:
        return formatting.points_interval(100 * one.value, 100 * one.low, 100 * one.high) + " points"
    return formatting.percent_interval(one.value, one.low, one.high, one.images)


def line(found: Judgement) -> str:
    """One judgement as a line of text."""
    of = ", ".join(part for part in (found.subject, found.condition) if part)
    measured = (
        "" if found.measured is None else f": {value(found)}, {formatting.plural(found.measured.images, 'image')}"
    )
    return f"{found.state.upper():<9}  {found.criterion} ({of}){measured}{f'; {found.why}' if found.why else ''}"


def text(result: Acceptance) -> str:
    """The judgements and the answer, for a terminal."""
    counts = ", ".join(
        f"{sum(one.state == state for one in result.judgements)} {state}" for state in ("met", "not met", "undecided")
    )
    head = f"{result.criteria.name}, fixed on {result.criteria.date}, SHA-256 {result.digest[:16]}"
    return "\n".join([head, *map(line, result.judgements), f"{result.state.upper()}: {counts}"])


def junit(result: Acceptance) -> str:
    """JUnit XML: a test case for each judgement; not met is a failure, undecided is skipped."""
    states = [one.state for one in result.judgements]
    suite = ElementTree.Element(
        "testsuite", name=result.criteria.name, tests=str(len(states)), failures=str(states.count("not met")),
        errors="0", skipped=str(states.count("undecided")), time="0",
    )  # fmt: skip
    for one in result.judgements:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"palpate.{result.study}", name=f"{one.criterion} ({one.subject})", time="0"
        )
        if one.state == "not met":
            ElementTree.SubElement(case, "failure", message=line(one), type="not met").text = line(one)
        elif one.state == "undecided":
            ElementTree.SubElement(case, "skipped", message=line(one))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def sarif(result: Acceptance) -> dict[str, Any]:
    """SARIF 2.1.0: a rule for each criterion and a result for each judgement."""
    names = list(dict.fromkeys(one.criterion for one in result.judgements))
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "palpate",
                        "version": result.to_dict()["palpate"],
                        "rules": [{"id": name, "shortDescription": {"text": name}} for name in names],
                    }
                },
                "results": [
                    {
                        "ruleId": one.criterion,
                        "ruleIndex": names.index(one.criterion),
                        "kind": {"met": "pass", "not met": "fail", "undecided": "open"}[one.state],
                        "level": "error" if one.state == "not met" else "none",
                        "message": {"text": line(one)},
                        "locations": [{"physicalLocation": {"artifactLocation": {"uri": result.file.name}}}],
                    }
                    for one in result.judgements
                ],
            }
        ],
    }


def certificate(result: Acceptance) -> str:
    """One HTML page of what was tested, on what, and which items of guidelines it supports."""
    metrics = dict.fromkeys(one.metric for one in result.judgements)
    style = resources.files("palpate.report.page").joinpath("style.css").read_text(encoding="utf-8")
    return render(
        "certificate.html",
        result=result,
        value=value,
        style=Markup(style),
        guidance=[(name, GUIDANCE[name]) for name in metrics],
    )


def write(result: Acceptance, folder: Path) -> None:
    """Write acceptance.json, acceptance.junit.xml, acceptance.sarif and certificate.html into a folder."""
    write_json(folder / "acceptance.json", result.to_dict())
    write_text(folder / "acceptance.junit.xml", junit(result))
    write_json(folder / "acceptance.sarif", sarif(result))
    write_text(folder / "certificate.html", certificate(result))
