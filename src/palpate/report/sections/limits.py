"""Known limits: what the numbers of a run do not say. Limits that every such measurement has, and those of this run."""

from palpate.core.formatting import plural
from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render

OPEN = 8
"""So many limits are shown; the others are folded."""

FEW = 100
"""Below so many attacked images intervals are wide."""

ALWAYS = (
    "An accuracy under attack is an upper bound: a stronger attack may lower it, none may raise it.",
    "An attack searches for the worst change of a given size. How often such changes occur in practice is not measured.",
    "Other scanners, sites and patients than those of the test images are not measured.",
)


LARGEST_LOSS = (
    "Sample images have the largest loss found at each ε. An attack that minimises the change counts other images."
)


@SECTIONS.register("limits")
@ranked(85)
def section(data: RunData) -> Section:
    """A list; the end of a long one is folded."""
    return Section("Known limits", render("limits.html", limits=limits(data), open=OPEN), "Limits")


def limits(data: RunData) -> list[str]:
    """One sentence each, those of this run first."""
    statuses = [one.status for one in data.results.checks]
    failed, unverified = statuses.count("fail"), statuses.count("not run")
    absent = sum(number for state, number in data.results.stages.items() if state != "complete")
    checks = {
        "The attack was not verified: no checks were run.": not statuses,
        f"A check failed for {plural(failed, 'result')}: these accuracies under attack may be too high.": failed,
        f"{plural(unverified, 'result')} not verified.": unverified,
    }
    attacks_only = data.complete("attack") and not data.complete("corrupt")
    run = {
        f"{plural(absent, 'stage')} of the study not complete.": absent,
        "Only attacks were measured: noise, blur, compression and other changes of acquisition were not.": attacks_only,
        LARGEST_LOSS: data.complete("explain"),
    }
    tasks = [note for task in data.results.tasks for note in _task(data, task)]
    return [*_that_hold(checks), *tasks, *_that_hold(run), *ALWAYS]


def _task(data: RunData, task: str) -> list[str]:
    record, found = data.study.tasks[task], data.results.tasks[task]
    synthetic = f"{found.title}: the images are synthetic; nothing follows for patients."
    notes = [synthetic] if record.kind == "synthetic" else []
    for board in found.leaderboards:
        images = min(entry.images for entry in board.entries)
        single = sum(len(entry.runs) == 1 for entry in board.entries)
        left_out = sum(len(entry.left_out) for entry in board.entries)
        said = {
            f"{plural(images, 'image')} attacked, so intervals are wide.": images < FEW,
            "radii are known to lie at or below an ε tried, not between them.": not board.continuous,
            f"{plural(single, 'model')} of one training each: differences are between weight files.": single,
            f"{plural(left_out, 'run')} without signal left out.": left_out,
            "the attack failed on some images, which count as misclassified.": any(one.failed for one in board.entries),
        }
        notes += [f"{found.title}, {board.attack_id}: {note}" for note in _that_hold(said)]
    if not record.groups or record.groups.get("test") == record.images.get("test"):
        alone = "each test image counts as a patient of its own; where patients have several, intervals are too narrow."
        notes.append(f"{found.title}: {alone}")
    return notes


def _that_hold(said: dict[str, object]) -> list[str]:
    return [sentence for sentence, holds in said.items() if holds]
