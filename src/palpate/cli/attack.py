"""`palpate attack`: weights that are trained already, attacked as a study of one model."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.options import DataOption, DeviceOption, ThreadsOption
from palpate.cli.running import run_study
from palpate.core.errors import InputError
from palpate.core.registry import COMMANDS


@COMMANDS.register("attack")
def attack(
    weights: Annotated[Path, typer.Argument(help="Weights that palpate wrote, their JSON beside.", show_default=False)],
    task: Annotated[
        str | None, typer.Argument(help="On whose test images; see `palpate tasks`.", show_default=False)
    ] = None,
    epsilons: Annotated[str, typer.Option("--epsilons", help="l-infinity radii, with commas between.")] = (
        "0.25/255, 0.5/255, 1/255, 2/255, 4/255"
    ),
    name: Annotated[
        str, typer.Option("--attack", help="A registered attack; `palpate doctor` lists them.")
    ] = "standard",
    images: Annotated[
        Path | None,
        typer.Option("--images", help="Instead of a task: your own images, in class folders.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Of --images without class folders: a table, path,label.", show_default=False),
    ] = None,
    at_most: Annotated[
        int | None, typer.Option("--at-most", min=1, help="Images attacked; all when absent.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; runs/attack-TASK when absent.", show_default=False)
    ] = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Attack weights that are trained already: the curve, Grad-CAM, verdicts and the report, as a study of one model.

    Example: palpate attack weights.safetensors --images my-images --attack ensemble
    """
    from palpate.data.own import plain_name
    from palpate.study.from_weights import study_of_weights

    if (task is None) == (images is None) or (labels and not images):
        raise InputError(
            "palpate attack: give a task, or --images DIR with --labels FILE where DIR has no class folders"
        )
    own = {"folder": str(images.resolve())} if images else {}
    if images and labels:
        own = {"table": str(labels.resolve()), "images": str(images.resolve())}
    radii = [part.strip() for part in epsilons.split(",") if part.strip()]
    settings = {"attack": name} if at_most is None else {"attack": name, "images": at_most}
    named = task or plain_name((labels or images or Path()).resolve().stem)
    run_study(study_of_weights(weights, named, radii, settings, own), out, data, device, threads)
