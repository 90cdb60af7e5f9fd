"""`palpate attack`: weights that are trained already, attacked as a study of one model."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.options import DataOption, DeviceOption, ThreadsOption
from palpate.cli.running import run_study
from palpate.core.registry import COMMANDS


@COMMANDS.register("attack")
def attack(
    weights: Annotated[Path, typer.Argument(help="Weights that palpate wrote, their JSON beside.", show_default=False)],
    task: Annotated[str, typer.Argument(help="On whose test images; see `palpate tasks`.", show_default=False)],
    epsilons: Annotated[str, typer.Option("--epsilons", help="l-infinity radii, with commas between.")] = (
        "0.25/255, 0.5/255, 1/255, 2/255, 4/255"
    ),
    name: Annotated[
        str, typer.Option("--attack", help="A registered attack; `palpate doctor` lists them.")
    ] = "standard",
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="At most so many; all when absent.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; runs/attack-TASK when absent.", show_default=False)
    ] = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Attack weights that are trained already: the curve, Grad-CAM, verdicts and the report, as a study of one model.

    Example: palpate attack runs/demo/train-.../weights.safetensors phantom-chest --attack ensemble
    """
    from palpate.study.from_weights import study_of_weights

    radii = [part.strip() for part in epsilons.split(",") if part.strip()]
    settings = {"attack": name} if images is None else {"attack": name, "images": images}
    run_study(study_of_weights(weights, task, radii, settings), out, data, device, threads)
