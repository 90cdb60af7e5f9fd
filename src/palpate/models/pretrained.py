"""Where published ImageNet weights are on this machine, fetched once if they are not, with a quick plain error offline.

The hub's own client retries for most of a minute before it gives up; a hospital's network is rarely going to change its mind.
"""

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from timm.models import get_pretrained_cfg

from palpate.core.errors import InputError
from palpate.models.backbones import Special

PATIENCE = 5.0  # seconds to wait for a server's first answer
HUB = constants.ENDPOINT
_HUB_FILE = "model.safetensors"


@dataclass(frozen=True)
class KerasFile:
    """One of the weight files that Keras publishes, by address and the MD5 that Keras checks."""

    address: str
    md5: str

    @property
    def name(self) -> str:
        return self.address.rsplit("/", 1)[1]


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
KERAS_FILES = {
    "resnet50.keras": KerasFile(
        f"{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"
    ),
    "inception_resnet_v2.keras": KerasFile(
        f"{_KERAS}/inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "d19885ff4a710c122648d3b5c3b684e4",
    ),
}


def locate(weights: str | Path, backbone: str, special: Special) -> Path:
    """The file that `weights` means: "imagenet", as published for that backbone, or a path; `InputError` if none fits."""
    if weights == "imagenet":
        return keras_file(backbone) if special.keras else hub_file(special.timm_name)
    path = Path(weights)
    if path.suffix == ".h5" and not special.keras:
        raise InputError(
            f"weights: {path} is Keras' format, which only {', '.join(KERAS_FILES)} take; got {backbone!r}"
        )
    return path


def weights_folder() -> Path:
    """Where Keras' files are kept: `PALPATE_WEIGHTS`, else `~/.cache/palpate/weights`."""
    return Path(os.environ.get("PALPATE_WEIGHTS") or Path.home() / ".cache" / "palpate" / "weights")


def keras_file(backbone: str) -> Path:
    """The h5 file that Keras publishes for a ".keras" backbone, without its top; downloaded on first use.

    Raises:
        InputError: absent and not to be had, or not the file that Keras publishes.
    """
    file = KERAS_FILES[backbone]
    places = [weights_folder() / file.name, Path.home() / ".keras" / "models" / file.name]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        path = places[0]
        _download(file, path, places)
    found = _md5(path)
    if found != file.md5:
        raise InputError(
            f"weights: {path} is not the file that Keras publishes (MD5 {found}, not {file.md5}); it may be cut short: "
            f"delete it and download {file.address} again, or pass weights={str(path)!r} to use it as it is"
        )
    return path


def _download(file: KerasFile, path: Path, places: list[Path]) -> None:
    """Fetch to a name beside `path` and rename, so that a broken download never looks whole."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(file.address, timeout=PATIENCE) as answer, part.open("wb") as out:
            while chunk := answer.read(1 << 20):
                out.write(chunk)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"weights: 'imagenet' needs Keras' file {file.name}, which is neither at "
            f"{' nor at '.join(str(place) for place in places)}, and cannot be downloaded ({error}). On a machine with "
            f"a network fetch {file.address} and put it at {places[0]}, or use weights=None"
        ) from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def hub_file(timm_name: str) -> Path:
    """The safetensors file of timm's ImageNet weights, from the local hub cache or downloaded into it.

    Raises:
        InputError: timm has no weights of that name, or they are not in the cache and the hub does not answer.
    """
    cfg = get_pretrained_cfg(timm_name)
    repository = None if cfg is None else cfg.hf_hub_id
    if repository is None:
        raise InputError(
            f"weights: timm publishes no weights for {timm_name!r}; use weights=None or a file of your own"
        )
    cached = huggingface_hub.try_to_load_from_cache(repository, _HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _unreachable(HUB)
    if reason is None:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, _HUB_FILE, endpoint=HUB))
        except OSError as error:
            reason = str(error)
    address = f"{HUB}/{repository}/resolve/main/{_HUB_FILE}"
    raise InputError(
        f"weights: 'imagenet' for {timm_name!r} needs {_HUB_FILE} of {repository}, which is not in the cache "
        f"({constants.HF_HUB_CACHE}) and cannot be downloaded ({reason}). On a machine with a network fetch {address}, "
        f"put it anywhere and pass its path as weights, or use weights=None"
    )


def _unreachable(address: str) -> str | None:
    """Why a server does not answer, or None when it does; any answer counts, even a refusal."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        return str(error)
    return None
