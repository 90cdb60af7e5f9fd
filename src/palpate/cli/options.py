"""Options and arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option("--data", envvar="PALPATE_DATA", help="Folder of the publishers' data folders.", show_default=False),
]
DeviceOption = Annotated[str, typer.Option("--device", help='"auto", "cpu", "cuda", "cuda:1" or "mps".')]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; fewer are faster on a busy machine.", show_default=False),
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder, as printed by `palpate study`.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

NETWORK = "Weights that palpate wrote; a program of torch.export or TorchScript; or SOURCE:NAME or MODULE:FUNCTION."
ModelArgument = Annotated[str, typer.Argument(help=NETWORK, show_default=False)]
TaskArgument = Annotated[
    str | None, typer.Argument(help="On whose test images; see `palpate tasks`.", show_default=False)
]
ImagesOption = Annotated[
    Path | None,
    typer.Option("--images", help="Your own images: class folders, or an npz file.", show_default=False),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", help="Of --images without class folders: a table, path,label.", show_default=False),
]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", help='A file of weights, "imagenet" or "hub".', show_default=False)
]
SizeOption = Annotated[
    int | None, typer.Option("--size", min=28, help="Images are resized to it; 224 when absent.", show_default=False)
]
ChannelsOption = Annotated[
    int | None, typer.Option("--channels", min=1, help="That the network takes; 3 when absent.", show_default=False)
]
ValueRangeOption = Annotated[
    str | None,
    typer.Option("--value-range", help="What black and white are to the network: 0,255.", show_default=False),
]
MeanOption = Annotated[str | None, typer.Option("--mean", help="Of the network's pixels.", show_default=False)]
StdOption = Annotated[str | None, typer.Option("--std", help="Of the network's pixels.", show_default=False)]
ClassesOption = Annotated[
    str | None, typer.Option("--classes", help="Names of the logits in their order.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other key of a study: model.head=own, task.channels=1.", show_default=False),
]
