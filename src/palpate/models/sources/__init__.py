"""Where networks come from: a backbone is written SOURCE:NAME, such as "timm:resnet18", and a name without a source is timm's.

A source is a function from a `Request` to a `Network`, registered in `MODEL_SOURCES` under the word before the colon. Where that word is no
source, it is a Python module and the name a function in it that makes the network: "my_package.networks:make".
"""

import difflib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from palpate.core.errors import InputError
from palpate.core.registry import MODEL_SOURCES

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Request:
    """What `build` asks a source for.

    Attributes:
        name: of the network, without the source's word.
        size: side of the square images in pixels.
        channels: of the images.
        num_classes: logits of a whole network; None for as many as it has by itself.
        head: "new" for a network that ends in a map, "own" for a whole one, None for what fits the weights.
        output_stride: 32 for the network's own; 16 or 8 where its last strides are to be traded for dilation.
        weights: None for random ones from torch's global generator; "imagenet" for those that are published; or a file of the source's kind.
            A file of `save_weights` never reaches a source.
        normalization: what was asked for, or None.
        arguments: for the function that makes the network.
    """

    name: str
    size: int
    channels: int = 3
    num_classes: int | None = None
    head: Literal["new", "own"] | None = None
    output_stride: int = 32
    weights: str | Path | None = None
    normalization: str | Mapping[str, Any] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """What a source makes.

    Attributes:
        module: from normalised images (N, C, S, S) to the last feature map (N, C', h, w), or of a whole network to logits.
        ends_in: which of the two.
        normalization: the one to use where none was asked for; None where the user must state it.
        pretrained: what the name "pretrained" means: mean and standard deviation per channel, in units of images in [0, 1]; None where unknown.
        flat: whether a head flattens the map; else it takes the mean over the map's positions.
        classes: names of the logits of a whole network, where they are known.
        trained: whether none of its weights is random.
    """

    module: "nn.Module"
    ends_in: Literal["map", "logits"] = "map"
    normalization: str | None = "caffe"
    pretrained: tuple[Sequence[float], Sequence[float]] | None = None
    flat: bool = False
    classes: tuple[str, ...] | None = None
    trained: bool = False


def module_file(module: str, what: str = "backbone") -> Path | None:
    """The file of a Python module, which may lie in the working directory; InputError, about `what`, where there is none."""
    try:
        found = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        found = None
    beside = Path(*module.split("."))
    for path in (found.origin if found else None, beside.with_suffix(".py"), beside / "__init__.py"):
        if path is not None and Path(path).is_file():
            return Path(path)
    near = difflib.get_close_matches(module, MODEL_SOURCES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = f"neither a model source ({', '.join(MODEL_SOURCES)}) nor a Python module"
    raise InputError(f"{what}: {module!r} is {known} that can be found{hint}")
