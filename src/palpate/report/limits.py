"""What a run's numbers do not say: limits that every such measurement has, and those of this run."""

from palpate.core import formatting
from palpate.report.run_data import RunData

FEW = 100
"""Below so many attacked images intervals are wide."""

ALWAYS = (
    "An accuracy under attack is an upper bound: a stronger attack may lower it, none may raise it.",
    "An attack searches for the worst change of a given size. How often such changes occur in practice is not measured.",
    "Other scanners, sites and patients than those of the test images are not measured.",
)


def limits(data: RunData) -> list[str]:
    """One sentence each, those of this run first."""
    return [*_checks(data), *(note for task in data.results.tasks for note in _task(data, task)), *_run(data), *ALWAYS]


def _checks(data: RunData) -> list[str]:
    if not data.results.checks:
        return ["The attack was not verified: no checks were run."]
    failed = sum(one.status == "fail" for one in data.results.checks)
    absent = sum(one.status == "not run" for one in data.results.checks)
    found = []
    if failed:
        found.append(
            f"A check failed for {formatting.plural(failed, 'result')}: these accuracies under attack may be too high."
        )
    if absent:
        found.append(f"{formatting.plural(absent, 'result')} not verified.")
    return found


def _task(data: RunData, task: str) -> list[str]:
    record, found = data.study.tasks[task], data.results.tasks[task]
    notes = (
        [f"{found.title}: the images are synthetic; nothing follows for patients."]
        if record.kind == "synthetic"
        else []
    )
    for board in found.leaderboards:
        images = min(entry.images for entry in board.entries)
        single = sum(len(entry.runs) == 1 for entry in board.entries)
        left_out = sum(len(entry.left_out) for entry in board.entries)
        said = {
            f"{formatting.plural(images, 'image')} attacked, so intervals are wide.": images < FEW,
            "radii are known to lie at or below an ε tried, not between them.": not board.continuous,
            f"{formatting.plural(single, 'model')} of one training each: differences are between weight files.": single,
            f"{formatting.plural(left_out, 'run')} without signal left out.": left_out,
            "the attack failed on some images, which count as misclassified.": any(one.failed for one in board.entries),
        }
        notes += [f"{found.title}, {board.attack_id}: {note}" for note, applies in said.items() if applies]
    if not record.groups or record.groups.get("test") == record.images.get("test"):
        alone = "each test image counts as a patient of its own; where patients have several, intervals are too narrow."
        notes.append(f"{found.title}: {alone}")
    return notes


def _run(data: RunData) -> list[str]:
    absent = sum(number for state, number in data.results.stages.items() if state != "complete")
    found = [f"{formatting.plural(absent, 'stage')} of the study not complete."] if absent else []
    if data.complete("attack") and not data.complete("corrupt"):
        found.append("Only attacks were measured: noise, blur, compression and other changes of acquisition were not.")
    if data.complete("explain"):
        found.append(
            "Sample images have the largest loss found at each ε. An attack that minimises the change counts other images."
        )
    return found
