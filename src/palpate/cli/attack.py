"""`palpate attack`: a network that is trained already, attacked as a study of one model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from palpate.cli.check import answer, epsilons_of
from palpate.cli.network import NetworkOptions
from palpate.cli.options import DeviceOption, ModelArgument, TaskArgument, ThreadsOption
from palpate.cli.running import run_study
from palpate.core.errors import InputError
from palpate.core.registry import COMMANDS

USUAL = "0.25/255, 0.5/255, 1/255, 2/255, 4/255"


@COMMANDS.register("attack")
def attack(
    network: NetworkOptions,
    model: ModelArgument,
    task: TaskArgument = None,
    epsilons: Annotated[
        str | None,
        typer.Option("--epsilons", help=f"Radii, with commas between; in l∞ {USUAL} when absent.", show_default=False),
    ] = None,
    name: Annotated[
        str, typer.Option("--attack", help="fast, standard, ensemble, or another that `palpate doctor` lists.")
    ] = "standard",
    norm: Annotated[
        Literal["linf", "l2", "l1"] | None,
        typer.Option("--norm", help="Of the perturbation; linf when absent.", show_default=False),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="The class that perturbations must lead to, by name.", show_default=False),
    ] = None,
    direction: Annotated[
        Literal["missed disease", "false alarm"] | None,
        typer.Option(
            "--direction", help="Of two classes: images of disease only, or only the others.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the attack; 0 when absent.", show_default=False)
    ] = None,
    at_most: Annotated[
        int | None, typer.Option("--at-most", min=1, help="Images attacked; all when absent.", show_default=False)
    ] = None,
    expect: Annotated[
        float | None,
        typer.Option("--expect", help="The clean accuracy in [0, 1] that was measured elsewhere.", show_default=False),
    ] = None,
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
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Attack a network that is trained already: the curve, maps, verdicts and the report, as a study of one model.

    Example: palpate attack my_networks:make --weights best.ckpt --value-range 0,255 --images my-images
    """
    if epsilons is None and norm not in (None, "linf"):
        raise InputError(f"--epsilons: give the radii in {norm}, such as 0.5,1,2")
    radii = [part.strip() for part in (USUAL if epsilons is None else epsilons).split(",") if part.strip()]
    radii += epsilons_of(criteria) if criteria else []
    if write_images:
        from palpate.data.write import check_new

        check_new(write_images)
    settings = {"attack": name, "images": at_most, "norm": norm, "target": target, "direction": direction, "seed": seed}
    study = network.study(model, task, radii, attack=settings, trust={"expect": expect})
    folder = out or Path("runs") / study.name
    run_study(study, folder, network.data, device, threads)
    if write_images:
        from palpate.study.written import write_attacked

        for line in write_attacked(study, folder, write_images, network.data, device):
            typer.echo(line)
    if criteria:
        answer(criteria, folder)
