"""`palpate doctor`: what palpate finds on this machine, what is registered by whom, and what it understands of a network and its images."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palpate.cli.network import NetworkOptions
from palpate.cli.options import NETWORK
from palpate.core.errors import InputError
from palpate.core.registry import COMMANDS, Registry, registries

if TYPE_CHECKING:
    from rich.table import Table


@COMMANDS.register("doctor")
def doctor(
    network: NetworkOptions,
    model: Annotated[str | None, typer.Option("--model", help=NETWORK, show_default=False)] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="On whose test images; or --images.", show_default=False)
    ] = None,
) -> None:
    """Say what palpate finds on this machine; with --model and --images, what it understands of a network and its images.

    Example: palpate doctor --model my_networks:make --weights best.ckpt --value-range 0,255 --images my-images
    """
    from rich.console import Console

    console = Console()
    if model is None:
        if task or network.images:
            raise InputError("--model: name the network that is to see these images")
        console.print(machine_table(network.data))
        console.print(registered_table(registries()))
        return
    from rich.table import Table
    from rich.text import Text

    from palpate.cli.understood import understood

    table = Table(title="Understood", show_header=False)
    table.add_column("what")
    table.add_column("found", overflow="fold")
    for what, found in understood(network, network.study(model, task)):
        table.add_row(what, Text(found, "yellow" if what == "doubt" else ""))
    console.print(table)


def machine_table(data: Path | None) -> "Table":
    """Versions, devices, processors, and the folders of data and of decoded images."""
    import torch
    from rich.table import Table
    from rich.text import Text

    from palpate.core.provenance import versions
    from palpate.data.store import cache_folder
    from palpate.data.tasks import data_root

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    devices = ["cpu", *cards, *["mps"] * torch.backends.mps.is_available()]
    root, cache = data_root(data), cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    table = Table(title="This machine", show_header=False)
    table.add_column("what")
    table.add_column("found", overflow="fold")
    for what, found in (
        *versions().items(),
        ("devices", ", ".join(devices)),
        ("processors", f"{os.cpu_count()}, of which torch uses {torch.get_num_threads()}"),
        ("data root", "none named: use --data or PALPATE_DATA" if root is None else str(root)),
        ("decoded images", f"{cache} ({free:,.0f} GB free)"),
    ):
        table.add_row(what, Text(found))
    return table


def registered_table(all_of_them: Iterable[Registry[Any]]) -> "Table":
    """What can be used by name, and from which package it comes."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Registered")
    for column in ("kind", "package", "names"):
        table.add_column(column, overflow="fold")
    for registry in all_of_them:
        names: dict[str, list[str]] = {}
        for entry in registry.entries():
            names.setdefault(entry.package, []).append(entry.name)
        for package, found in names.items() or [("–", [])]:
            table.add_row(registry.kind, Text(package), Text(", ".join(found) or "none"))
    return table
