"""The synthetic tasks: nothing to read or to download, and the sign that makes the label is known."""

from functools import partial

from palpate.core.registry import TASKS
from palpate.data.synthetic.generate import Kind, generate
from palpate.data.tasks import Task


def _add(kind: Kind, title: str, finding: str, classes: tuple[str, str]) -> None:
    name = f"phantom-{kind}"
    TASKS.add(
        name,
        Task(
            name=name,
            title=f"Synthetic: {title}",
            classes=classes,
            finding=finding,
            images=2400,
            licence="made by palpate, Apache-2.0",
            cite="palpate",
            how_to_get="nothing to get: it is generated",
            caveat="synthetic images: nothing here says how a model does on patients",
            generate=partial(generate, kind),
        ),
    )


_add("skin", "lesions on skin", "streaks at the border", ("globules", "streaks"))
_add("fundus", "fundus with vessels", "hard exudates", ("drusen", "hard exudates"))
_add("chest", "chest with ribs and vessels", "pleural line", ("skin fold", "pleural line"))
