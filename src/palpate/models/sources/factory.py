"""A function of somebody's own that makes a network: "my_package.networks:make"."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from torch import nn

from palpate.core.errors import InputError
from palpate.models.sources import Network, Request, module_file
from palpate.models.weight_files import fill_from


def factory_network(module: str, request: Request) -> Network:
    """The network that a function of a module makes, called with the request's arguments.

    The module may lie in the working directory. Where the function takes `num_classes` and nobody gave it, it gets the number asked for.

    Raises:
        InputError: no such module or function; it raises, or returns no module; weights of another network.
    """
    arguments = dict(request.arguments)
    function = load_function(module, request.name)
    if request.num_classes is not None and "num_classes" in _parameters(function):
        arguments.setdefault("num_classes", request.num_classes)
    return network_of(function, arguments, request.weights, f"{module}:{request.name}")


def network_of(function: Callable[..., Any], arguments: Mapping[str, Any], weights: Any, written: str) -> Network:
    """The whole network that a function makes, with the weights of a file where one is given; `written` names it in errors."""
    try:
        network = function(**arguments)
    except Exception as error:  # whatever a stranger's code may raise
        raise InputError(f"backbone: {written} raised {type(error).__name__} for {arguments}: {error}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"backbone: {written} returned {type(network).__name__}, not a torch.nn.Module")
    if weights is not None:
        fill_from(network, weights, written)
    return Network(network, "logits", normalization=None, trained=weights is not None)


def load_function(module: str, name: str, what: str = "backbone") -> Any:
    """A function of a module, which may lie in the working directory; InputError, about `what`, where it is not there or cannot be imported."""
    folder = str(Path.cwd())
    module_file(module, what)
    sys.path.insert(0, folder)
    try:
        return reduce(getattr, name.split("."), importlib.import_module(module))
    except AttributeError as error:
        raise InputError(f"{what}: {module}:{name}: {error}") from error
    except Exception as error:
        raise InputError(f"{what}: importing {module} raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
