"""Known limits: what the numbers of this run do not say."""

from markupsafe import Markup, escape

from palpate.core.registry import SECTIONS
from palpate.report.limits import limits
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked

OPEN = 8


@SECTIONS.register("limits")
@ranked(85)
def section(data: RunData) -> Section:
    """A list; the end of a long one is folded."""
    found = [Markup("<li>{}</li>").format(escape(one)) for one in limits(data)]
    html = Markup("<ul>{}</ul>").format(Markup("").join(found[:OPEN]))
    if found[OPEN:]:
        rest = Markup("").join(found[OPEN:])
        html += Markup("<details><summary>{} more</summary><ul>{}</ul></details>").format(len(found) - OPEN, rest)
    return Section("Known limits", html, "Limits")
