"""Where the weights that hubs publish are on this machine, fetched once if they are not, with a quick plain error offline.

The hub's own client retries for most of a minute before it gives up; behind a hospital's firewall no retry helps.
"""

import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from timm.models import get_pretrained_cfg

from palpate.core.errors import InputError

PATIENCE = 5.0  # seconds to wait for a server's first answer
HUB = constants.ENDPOINT
_HUB_FILE = "model.safetensors"
BY_HAND = "On a machine with a network fetch {}, put it anywhere and pass its path as weights, or use weights=None"


def hub_file(timm_name: str) -> Path:
    """The safetensors file of timm's ImageNet weights, from the local hub cache or downloaded into it.

    Raises:
        InputError: timm has no weights of that name, or they are not in the cache and the hub does not answer.
    """
    cfg = get_pretrained_cfg(timm_name)
    repository = None if cfg is None else cfg.hf_hub_id
    if repository is None:
        remedy = "use weights=None or a file of your own"
        raise InputError(f"weights: timm publishes no weights for {timm_name!r}; {remedy}")
    cached = huggingface_hub.try_to_load_from_cache(repository, _HUB_FILE)
    if isinstance(cached, str):
        return Path(cached)
    absent = f"which is not in the cache ({constants.HF_HUB_CACHE}) and"
    fault = f"weights: 'imagenet' for {timm_name!r} needs {_HUB_FILE} of {repository}, {absent}"
    remedy = BY_HAND.format(f"{HUB}/{repository}/resolve/main/{_HUB_FILE}")
    return downloaded(HUB, lambda: huggingface_hub.hf_hub_download(repository, _HUB_FILE, endpoint=HUB), fault, remedy)


def repository(name: str, needed: Sequence[str], others: Sequence[str] = ()) -> Path:
    """The folder of a hub's repository with the files needed and those others that it has, from the cache or downloaded; a folder is itself.

    Raises:
        InputError: it is in neither, and the hub does not answer or does not have it.
    """
    if Path(name).is_dir():
        return Path(name)
    wanted: Any = {"allow_patterns": [*needed, *others]}
    try:
        folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True, **wanted))
        if all((folder / file).is_file() for file in needed):
            return folder
    except (OSError, HFValidationError):
        pass
    fault = f"backbone: {name!r} is no folder, is not in the cache ({constants.HF_HUB_CACHE}), and"
    files = f"{', '.join((*needed, *others))} of {HUB}/{name}"
    remedy = f"On a machine with a network fetch {files} into a folder, and give the folder"
    return downloaded(HUB, lambda: huggingface_hub.snapshot_download(name, endpoint=HUB, **wanted), fault, remedy)


def downloaded(server: str, fetch: Callable[[], str | Path], fault: str, remedy: str) -> Path:
    """Where `fetch` puts what it downloads from a server.

    Raises:
        InputError: the server does not answer, or does not have it; the message begins with the fault and ends with the remedy.
    """
    reason = "HF_HUB_OFFLINE is set" if server == HUB and constants.HF_HUB_OFFLINE else unreachable(server)
    if reason is None:
        try:
            return Path(fetch())
        except (OSError, RuntimeError, HFValidationError) as error:
            reason = str(error)
    raise InputError(f"{fault} cannot be downloaded ({reason}). {remedy}")


def unreachable(address: str) -> str | None:
    """Why a server does not answer, or None when it does; any answer counts, even a refusal."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        return str(error)
    return None
