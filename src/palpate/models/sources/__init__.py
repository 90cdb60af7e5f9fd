"""Where networks come from: a backbone is written SOURCE:NAME, such as "timm:resnet18", and a name without a source is timm's.

A source is a function from a `Request` to a `Network`, registered in `MODEL_SOURCES` under the word before the colon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from palpate.core.registry import MODEL_SOURCES

DEFAULT = "timm"


@dataclass(frozen=True)
class Request:
    """What `build` asks a source for.

    Attributes:
        name: of the network, without the source's word.
        size: side of the square images in pixels.
        channels: of the images.
        output_stride: 32 for the network's own; 16 or 8 where its last strides are to be traded for dilation.
        weights: None for random ones from torch's global generator; "imagenet" for those that are published; or a file of the source's kind.
            A file of `save_weights` never reaches a source.
        normalization: the name that was asked for, or None.
    """

    name: str
    size: int
    channels: int = 3
    output_stride: int = 32
    weights: str | Path | None = None
    normalization: str | None = None


@dataclass(frozen=True)
class Network:
    """What a source makes.

    Attributes:
        module: from normalised images (N, C, S, S) to the last feature map (N, C, h, w).
        normalization: the name of the one to use where none was asked for.
        pretrained: what the name "pretrained" means: mean and standard deviation per channel, in units of images in [0, 1]; None where unknown.
        flat: whether a head flattens the map; else it takes the mean over the map's positions.
    """

    module: nn.Module
    normalization: str = "caffe"
    pretrained: tuple[Sequence[float], Sequence[float]] | None = None
    flat: bool = False


def make_network(backbone: str, size: int, channels: int = 3, **settings: Any) -> Network:
    """Make the network of a backbone's name; the settings are those of `Request`.

    Raises:
        InputError: no such source, or what the source refuses.
    """
    source, colon, name = backbone.partition(":")
    if not colon:
        source, name = DEFAULT, backbone
    return MODEL_SOURCES[source](Request(name, size, channels, **settings))
