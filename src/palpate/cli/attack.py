"""`palpate attack`: a network that is trained already, attacked as a study of one model."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.check import answer, epsilons_of
from palpate.cli.network import image_settings, model_settings, read_settings
from palpate.cli.options import (
    ChannelsOption,
    ClassesOption,
    DataOption,
    DeviceOption,
    ImagesOption,
    LabelsOption,
    MeanOption,
    ModelArgument,
    SetOption,
    SizeOption,
    StdOption,
    ThreadsOption,
    ValueRangeOption,
    WeightsOption,
)
from palpate.cli.running import run_study
from palpate.core.errors import InputError
from palpate.core.registry import COMMANDS

USUAL = "0.25/255, 0.5/255, 1/255, 2/255, 4/255"


@COMMANDS.register("attack")
def attack(
    model: ModelArgument,
    task: Annotated[
        str | None, typer.Argument(help="On whose test images; see `palpate tasks`.", show_default=False)
    ] = None,
    images: ImagesOption = None,
    labels: LabelsOption = None,
    weights: WeightsOption = None,
    size: SizeOption = None,
    channels: ChannelsOption = None,
    value_range: ValueRangeOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    classes: ClassesOption = None,
    epsilons: Annotated[
        str | None,
        typer.Option("--epsilons", help=f"Radii, with commas between; in l∞ {USUAL} when absent.", show_default=False),
    ] = None,
    name: Annotated[
        str, typer.Option("--attack", help="A registered attack; `palpate doctor` lists them.")
    ] = "standard",
    at_most: Annotated[
        int | None, typer.Option("--at-most", min=1, help="Images attacked; all when absent.", show_default=False)
    ] = None,
    settings: SetOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The run folder; runs/attack-TASK when absent.", show_default=False)
    ] = None,
    criteria: Annotated[
        Path | None,
        typer.Option("--criteria", help="Judge the run by these, as `palpate check` does.", show_default=False),
    ] = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Attack a network that is trained already: the curve, maps, verdicts and the report, as a study of one model.

    Example: palpate attack my_networks:make --weights best.ckpt --value-range 0,255 --images my-images
    """
    from palpate.data.own import plain_name
    from palpate.study.from_weights import study_of_network

    if (task is None) == (images is None) or (labels and not images):
        raise InputError(
            "palpate attack: give a task, or --images DIR with --labels FILE where DIR has no class folders"
        )
    given = read_settings(settings or [])
    given["model"] = model_settings(weights, channels, value_range, mean, std, classes) | given.get("model", {})
    own = image_settings(images, labels, size)
    given["task"] = own | given.get("task", {})
    asked = {"attack": name} | ({} if at_most is None else {"images": at_most}) | given.get("attack", {})
    if epsilons is None and asked.get("norm", "linf") != "linf":
        raise InputError(f"palpate attack: give --epsilons, the radii in {asked['norm']}, such as 0.5,1,2")
    radii = [part.strip() for part in (epsilons or USUAL).split(",") if part.strip()]
    radii += epsilons_of(criteria) if criteria else []
    named = task or plain_name((labels or images or Path()).resolve().stem)
    study = study_of_network(model, named, radii, asked, images is not None, given)
    folder = out or Path("runs") / study.name
    run_study(study, folder, data, device, threads)
    if criteria:
        answer(criteria, folder)
