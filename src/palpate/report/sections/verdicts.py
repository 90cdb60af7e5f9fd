"""The checks of whether the attack can be trusted: failures and warnings in full, the rest folded."""

from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render
from palpate.report.verdicts import ORDER, amount

OPEN = 6
"""So many models with failed checks are shown unfolded."""


@SECTIONS.register("verdicts")
@ranked(20)
def section(data: RunData) -> Section:
    """Models whose checks failed first; where no checks were run, this is said."""
    checks = sorted(data.results.checks, key=lambda one: ORDER.index(one.status))
    titles = {task: found.title for task, found in data.results.tasks.items()}
    alarming = [one for one in checks if one.status in ("fail", "warn")][:OPEN]
    others = [one for one in checks if one not in alarming]
    counts = {status: sum(one.status == status for one in checks) for status in ORDER}
    html = render("verdicts.html", alarming=alarming, others=others, titles=titles, amount=amount, counts=counts)
    return Section("Checks of the attack", html, "Checks")
