"""Options and arguments that several commands take, and how a command takes a group of them as one parameter."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

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


def ungrouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command as typer reads it: each parameter whose type is a dataclass is replaced by the fields of that class, which are options."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if not dataclasses.is_dataclass(kind):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = kind  # pyright: ignore[reportArgumentType]
        parameters += inspect.signature(kind, eval_str=True).parameters.values()  # pyright: ignore[reportArgumentType]

    @functools.wraps(command)
    def called(**given: Any) -> Any:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
        return command(**given)

    called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return called
