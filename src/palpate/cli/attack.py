"""`palpate attack`: a network that is trained already, attacked as a study of one model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from palpate.cli.check import answer, epsilons_of
from palpate.cli.network import NetworkOptions
from palpate.cli.options import DeviceOption, ModelArgument, TaskArgument, ThreadsOption, option
from palpate.cli.running import run_study
from palpate.core.errors import InputError
from palpate.core.registry import COMMANDS

USUAL = "0.25/255, 0.5/255, 1/255, 2/255, 4/255"


@COMMANDS.register("attack")
def attack(
    network: NetworkOptions,
    model: ModelArgument,
    task: TaskArgument = None,
    epsilons: Annotated[str | None, option(f"Radii, with commas between; in l∞ {USUAL} when absent.")] = None,
    name: Annotated[
        str, typer.Option("--attack", help="fast, standard, ensemble, or another that `palpate doctor` lists.")
    ] = "standard",
    norm: Annotated[Literal["linf", "l2", "l1"] | None, option("Of the perturbation; linf when absent.")] = None,
    target: Annotated[str | None, option("The class that perturbations must lead to, by name.")] = None,
    direction: Annotated[
        Literal["missed disease", "false alarm"] | None,
        option("Of two classes: images of disease only, or only the others."),
    ] = None,
    seed: Annotated[int | None, option("Of the attack; 0 when absent.")] = None,
    at_most: Annotated[int | None, option("Images attacked; all when absent.", min=1)] = None,
    expect: Annotated[float | None, option("The clean accuracy in [0, 1] that was measured elsewhere.")] = None,
    out: Annotated[Path | None, option("The run folder; runs/attack-TASK when absent.")] = None,
    write_images: Annotated[Path | None, option("A new folder for the first 64 adversarial images, as files.")] = None,
    criteria: Annotated[Path | None, option("Judge the run by these, as `palpate check` does.")] = None,
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
        from palpate.study.stages.attack import write_attacked

        for line in write_attacked(study, folder, write_images, network.data, device):
            typer.echo(line)
    if criteria:
        answer(criteria, folder)
