"""`palpate doctor`: what palpate finds on this machine, what is registered by whom, and what it understands of a network and its images."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from palpate.cli.network import NetworkOptions
from palpate.cli.options import NETWORK, option
from palpate.cli.running import print_table
from palpate.core.errors import InputError
from palpate.core.grouping import grouped
from palpate.core.registry import COMMANDS, registries

if TYPE_CHECKING:
    from palpate.study.spec import Study

FIRST = 32
"""Images on which the clean accuracy of a network is judged."""


@COMMANDS.register("doctor")
def doctor(
    network: NetworkOptions,
    model: Annotated[str | None, option(NETWORK)] = None,
    task: Annotated[str | None, option("On whose test images; or --images.")] = None,
) -> None:
    """Say what palpate finds on this machine; with --model and --images, what it understands of a network and its images.

    Example: palpate doctor --model my_networks:make --weights best.ckpt --value-range 0,255 --images my-images
    """
    if model is None:
        if task or network.images:
            raise InputError("--model: name the network that is to see these images")
        print_table(("what", "found"), machine(network.data), title="This machine", show_header=False)
        print_table(("kind", "package", "names"), registered(), title="Registered")
        return
    from rich.text import Text

    found = understood(network, network.study(model, task))
    rows = ((what, Text(text, "yellow") if what == "doubt" else text) for what, text in found)
    print_table(("what", "found"), rows, title="Understood", show_header=False)


def machine(data: Path | None) -> Iterable[tuple[str, str]]:
    """Versions, devices, processors, and the folders of data and of decoded images."""
    import torch

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
    return found.items()


def registered() -> Iterator[tuple[str, str, str]]:
    """What can be used by name, and from which package it comes."""
    for registry in registries():
        names = grouped((entry.package, entry.name) for entry in registry.entries())
        for package, found in names.items() or [("–", [])]:
            yield registry.kind, package, ", ".join(found) or "none"


def understood(options: NetworkOptions, study: "Study") -> Iterator[tuple[str, str]]:
    """Pairs of what and found: the network, channels, range, classes, layer and clean accuracy; then every doubt and note.

    Raises:
        InputError: what cannot work, as a study would say before it begins.
    """
    import torch

    from palpate.core import formatting
    from palpate.models.predict import as_tensor, predict_logits
    from palpate.statistics.intervals import clustered_wilson
    from palpate.study.classifier import inner
    from palpate.study.stages.explain import chosen

    spec = study.models[0]
    dataset, ready = options.opened(study)
    network, split = inner(ready), dataset.test
    images, labels = as_tensor(split.images[:FIRST]), torch.as_tensor(split.labels[:FIRST])
    parameters = list(network.parameters())
    kinds = ", ".join(sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters}))
    yield "network", f"{spec.backbone}, {sum(map(torch.Tensor.numel, parameters)):,} parameters ({kinds or 'none'})"
    shape = f"{dataset.channels} × {dataset.size} × {dataset.size}"
    yield "images", f"{len(split):,}, {shape}, of {network.channels} channels to the network"
    if several := study.tasks[0].findings:
        yield "findings", f"{', '.join(several)}; what follows is of {dataset.finding}"
    scale = dataset.scale
    levels = f", {scale.levels:,} levels" if scale.levels else ""
    yield "files", f"{scale.low:g} to {scale.high:g} {scale.unit}".strip() + f" are 0 to 1{levels}"
    with torch.no_grad():
        given = network.normalize(images.to(network.normalize.mean))
    yield "range", f"the network gets {given.min():.4g} to {given.max():.4g}, on average {given.mean():.4g}"
    logits = predict_logits(ready, images)
    one = "one logit: the second class where it is above 0"
    answers = one if network.num_classes == 1 else f"{network.num_classes} logits"
    if spec.findings:
        answers += f", of which {spec.findings.index(dataset.finding) + 1} answers for {dataset.finding}"
    yield "logits", f"{answers}; {logits.min():.4g} to {logits.max():.4g}"
    known = network.classes or study.tasks[0].classes
    names = "by name" if known else "by place: state --classes where the logits have another order"
    yield "classes", ", ".join(f"{place} {name}" for place, name in enumerate(dataset.classes)) + f" ({names})"
    for method in study.methods_of(spec):
        settings, layer = chosen(ready, images[0], method)
        yield "maps", settings["method"] + (f" of {layer}" if layer else "")
    right = logits.argmax(1) == labels
    low, high = clustered_wilson(right)
    accuracy = formatting.percent_interval(right.float().mean().item(), low, high, len(right))
    yield "clean accuracy", f"{accuracy} on {len(right)} images"
    if len(logits) > 1 and (logits.argmax(1) == logits.argmax(1)[0]).all():
        only = dataset.classes[int(logits.argmax(1)[0])]
        yield "doubt", f"every answer is {only}: are value_range, mean, std and the weights those of this network?"
    elif high < 1 / len(dataset.classes):
        yield "doubt", "the accuracy is below chance: are the classes in the order of the logits?"
    for note in dataset.notes:
        yield "note", note
