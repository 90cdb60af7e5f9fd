"""`palpate tasks`: the labelled images that studies can ask for."""

from palpate.cli.options import DataOption
from palpate.cli.running import print_table
from palpate.core.registry import COMMANDS


@COMMANDS.register("tasks")
def tasks(data: DataOption = None) -> None:
    """List every task: classes, sizes, licence, where it was looked for, whether it is there, and how to get it.

    Example: palpate tasks --data ~/data
    """
    from rich.text import Text

    from palpate.data.tasks import overview

    rows = []
    for line in overview(data):
        task = line.task
        if task.kind == "synthetic":
            place = "generated when asked for"
        elif line.present:
            place = str(line.looked_in)
        else:
            looked = f"looked in {line.looked_in}; " if line.looked_in else "no data folder was named; "
            place = looked + task.how_to_get
        here = Text("yes", "green") if line.present else Text("no", "red")
        images = "any" if task.kind == "synthetic" else f"{task.images:,}"
        classes = f"{len(task.classes)}: {', '.join(task.classes)}"
        rows.append((task.name, classes, images, task.licence, here, place))
    columns = ("task", "classes", "images", "licence", "here?", "where, or how to get it")
    where = "--data or PALPATE_DATA names the folder to look in"
    print_table(columns, rows, title="Tasks", show_lines=True, caption=where)
