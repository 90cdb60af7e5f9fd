"""`palpate doctor`: what palpate finds on this machine, what is registered by whom, and what it understands of a network and its images."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from palpate.cli.network import NetworkOptions
from palpate.cli.options import NETWORK, option
from palpate.cli.tables import print_table
from palpate.core.errors import InputError
from palpate.core.registry import COMMANDS, registries

if TYPE_CHECKING:
    from rich.text import Text


@COMMANDS.register("doctor")
def doctor(
    network: NetworkOptions,
    model: Annotated[str | None, option(NETWORK)] = None,
    task: Annotated[str | None, option("On whose test images; or --images.")] = None,
) -> None:
    """Say what palpate finds on this machine; with --model and --images, what it understands of a network and its images.

    Example: palpate doctor --model my_networks:make --weights best.ckpt --value-range 0,255 --images my-images
    """
    from rich.text import Text

    if model is None:
        if task or network.images:
            raise InputError("--model: name the network that is to see these images")
        print_table(("what", "found"), machine(network.data), title="This machine", show_header=False)
        print_table(("kind", "package", "names"), registered(), title="Registered")
        return
    from palpate.cli.understood import understood

    found = understood(network, network.study(model, task))
    rows = ((what, Text(text, "yellow" if what == "doubt" else "")) for what, text in found)
    print_table(("what", "found"), rows, title="Understood", show_header=False)


def machine(data: Path | None) -> "Iterator[tuple[str, Text]]":
    """Versions, devices, processors, and the folders of data and of decoded images."""
    import torch
    from rich.text import Text

    from palpate.core.provenance import versions
    from palpate.data.store import cache_folder
    from palpate.data.tasks import data_root

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    devices = ["cpu", *cards, *["mps"] * torch.backends.mps.is_available()]
    root, cache = data_root(data), cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    found = versions() | {"devices": ", ".join(devices)}
    found["processors"] = f"{os.cpu_count()}, of which torch uses {torch.get_num_threads()}"
    found["data root"] = "none named: use --data or PALPATE_DATA" if root is None else str(root)
    found["decoded images"] = f"{cache} ({free:,.0f} GB free)"
    return ((what, Text(text)) for what, text in found.items())


def registered() -> "Iterator[tuple[str, Text, Text]]":
    """What can be used by name, and from which package it comes."""
    from rich.text import Text

    for registry in registries():
        names: dict[str, list[str]] = {}
        for entry in registry.entries():
            names.setdefault(entry.package, []).append(entry.name)
        for package, found in names.items() or [("–", [])]:
            yield registry.kind, Text(package), Text(", ".join(found) or "none")
