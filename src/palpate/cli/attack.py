"""`palpate attack`: a network that is trained already, attacked as a study of one model."""

from pathlib import Path
from typing import Annotated

import typer

from palpate.cli.check import answer, epsilons_of
from palpate.cli.network import asked_study, study_keys
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
    TaskArgument,
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
    task: TaskArgument = None,
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
    write_images: Annotated[
        Path | None,
        typer.Option(
            "--write-images", help="A new folder for the first 64 adversarial images, as files.", show_default=False
        ),
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
    keys = study_keys(settings, (weights, channels, value_range, mean, std, classes), (images, labels, size))
    if at_most is not None:
        keys["attack"] = {"images": at_most} | keys.get("attack", {})
    norm = keys.get("attack", {}).get("norm", "linf")
    if epsilons is None and norm != "linf":
        raise InputError(f"palpate attack: give --epsilons, the radii in {norm}, such as 0.5,1,2")
    radii = [part.strip() for part in (epsilons or USUAL).split(",") if part.strip()]
    radii += epsilons_of(criteria) if criteria else []
    if write_images and write_images.is_dir() and any(write_images.iterdir()):
        raise InputError(f"--write-images: {write_images} holds files already; name a new folder")
    study = asked_study(model, task, images, labels, keys, radii, name)
    folder = out or Path("runs") / study.name
    run_study(study, folder, data, device, threads)
    if write_images:
        from palpate.study.written import write_attacked

        for line in write_attacked(study, folder, write_images, data, device):
            typer.echo(line)
    if criteria:
        answer(criteria, folder)
