"""An acceptance as text, JUnit XML, SARIF and a certificate in HTML."""

import json
from pathlib import Path
from typing import Any, get_args

from markupsafe import Markup

from palpate.core import formatting
from palpate.core.io import write_json, write_text
from palpate.report import section
from palpate.report.acceptance import Acceptance
from palpate.statistics.acceptance import Judgement, State
from palpate.statistics.criteria import METRICS


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
    images = formatting.plural(found.measured.images, "image") if found.measured else ""
    measured = f": {value(found)}, {images}" if images else ""
    return f"{found.state.upper():<9}  {found.criterion} ({of}){measured}{f'; {found.why}' if found.why else ''}"


def text(result: Acceptance) -> str:
    """The judgements and the answer, for a terminal."""
    states = [one.state for one in result.judgements]
    counts = ", ".join(f"{states.count(state)} {state}" for state in get_args(State))
    head = f"{result.criteria.name}, fixed on {result.criteria.date}, SHA-256 {result.digest[:16]}"
    return "\n".join([head, *map(line, result.judgements), f"{result.state.upper()}: {counts}"])


def junit(result: Acceptance) -> str:
    """JUnit XML: a test case for each judgement; not met is a failure, undecided is skipped."""
    states = [one.state for one in result.judgements]
    return section.text("acceptance.junit", result=result, states=states, line=line) + "\n"


def sarif(result: Acceptance) -> dict[str, Any]:
    """SARIF 2.1.0: a rule for each criterion and a result for each judgement."""
    rules = list(dict.fromkeys(one.criterion for one in result.judgements))
    about = {"version": result.to_dict()["palpate"], "file": result.file.name, "line": line}
    return json.loads(section.text("acceptance.sarif", rules=rules, results=result.judgements, **about))


def certificate(result: Acceptance) -> str:
    """One HTML page of what was tested, on what, and which items of guidelines it supports."""
    return section.render("certificate.html", result=result, value=value, style=Markup(section.source("style.css")))


def write(result: Acceptance, folder: Path) -> None:
    """Write acceptance.json, acceptance.junit.xml, acceptance.sarif and certificate.html into a folder."""
    write_json(folder / "acceptance.json", result.to_dict())
    write_text(folder / "acceptance.junit.xml", junit(result))
    write_json(folder / "acceptance.sarif", sarif(result))
    write_text(folder / "certificate.html", certificate(result))
