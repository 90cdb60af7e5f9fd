"""Options and arguments that several commands take, and how a command takes a group of them as one parameter."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def option(help: str, *name: str, **more: Any) -> Any:
    """An option whose help says what holds when it is absent; called as its parameter where no other name is given."""
    return typer.Option(*name, help=help, show_default=False, **more)


def argument(help: str) -> Any:
    """An argument whose help says what holds when it is absent."""
    return typer.Argument(help=help, show_default=False)


DataOption = Annotated[Path | None, option("Folder of the publishers' data folders.", envvar="PALPATE_DATA")]
DeviceOption = Annotated[str, typer.Option("--device", help='"auto", "cpu", "cuda", "cuda:1" or "mps".')]
ThreadsOption = Annotated[int | None, option("CPU threads; fewer are faster on a busy machine.", min=1)]
RunArgument = Annotated[Path, argument("A run folder, as printed by `palpate study`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

NETWORK = "Weights that palpate wrote; a program of torch.export or TorchScript; or SOURCE:NAME or MODULE:FUNCTION."
ModelArgument = Annotated[str, argument(NETWORK)]
TaskArgument = Annotated[str | None, argument("On whose test images; see `palpate tasks`.")]


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
