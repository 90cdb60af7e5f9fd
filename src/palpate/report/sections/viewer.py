"""Sample images under attack, to be looked at: the viewer inside the page, with the best models of each task."""

import dataclasses

from palpate.core.registry import SECTIONS
from palpate.report.run_data import RunData
from palpate.report.section import Section, ranked, render, script_json
from palpate.report.viewer.embedded import embed
from palpate.report.viewer.scenes import Scene, scenes

IMAGE_BYTES = 7_000_000
"""What all sample images of a page may take; with Plotly's 4.8 MB the page stays under 15 MB."""

CORRUPTIONS = 12
"""Of so many stages of corruptions the images are in the page; of more in `palpate view` only."""


@SECTIONS.register("viewer")
@ranked(30)
def section(data: RunData) -> Section | None:
    """Nothing where no attack has kept samples."""
    kinds = ("attack", "corrupt") if len(data.complete("corrupt")) <= CORRUPTIONS else ("attack",)
    found = [best_first(scene, data) for scene in scenes([data], kinds)]
    shown = [one for scene in found if (one := embed(scene, IMAGE_BYTES // len(found)))]
    if not shown:
        return None
    html = render("viewer_section.html", scenes=script_json(shown), left_out=len(kinds) == 1)
    return Section("Images under attack", html, "Images")


def best_first(scene: Scene, data: RunData) -> Scene:
    """The scene with its views in the order of the leaderboards, one run of each architecture before the others."""
    order: dict[str, tuple[int, int]] = {}  # of each run: which seed it is, and the place of its architecture
    for found in data.results.tasks.values():
        for place, entry in enumerate(found.leaderboards[0].entries if found.leaderboards else ()):
            order |= {run: (seed, place) for seed, run in enumerate((*entry.runs, *entry.left_out))}
    views = sorted(scene.views, key=lambda view: order.get(view.samples.model_id, (len(order), 0)))
    return dataclasses.replace(scene, views=tuple(views))
