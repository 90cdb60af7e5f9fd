"""The study of one attack on a network that is trained already: what `palpate attack` runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError
from palpate.models.checkpoint import is_own, read_spec
from palpate.study.network import ModelSpec, default_name
from palpate.study.spec import Study

UNTRAINED = {"name": "from-weights", "epochs": 0}
SIZE = 224


def model_keys(network: str, given: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of a study's model for a network that is named on its own, and those of the task that follow from it.

    Args:
        network: a file that `palpate` wrote, its JSON beside it; a program of torch.export or TorchScript; or a backbone as in `palpate.build`.
        given: keys that are stated besides.

    Raises:
        InputError: a file without its JSON or of a wrapped network, or no such file.
    """
    given, path = dict(given or {}), Path(network)
    if not path.is_file():
        if path.suffix in (".safetensors", ".pt", ".pt2", ".pth", ".ckpt") and ":" not in network:
            raise InputError(f"model: no file at {network}; give one, or a backbone such as timm:resnet18")
        own = {"weights": "hub"} if network.startswith("hf-hub:") else {}
        return {"backbone": network} | own | given, {}
    if path.suffix != ".safetensors":
        return {"backbone": f"file:{path.resolve()}"} | given, {}
    if not is_own(path):
        remedy = f"give the backbone that they are of, and --weights {network}"
        raise InputError(f"model: {network} holds weights alone, or is damaged; {remedy}")
    told = read_spec(path)
    made_of = told["spec"]
    if made_of is None:
        raise InputError(f"weights: {network} is of a wrapped network; attack that from Python with palpate.sweep")
    unused = {"heads", "window", "relu"} if made_of.get("attention") is None else set[str]()
    unused |= {"dropout", "output_stride"} if made_of.get("head") == "own" else set()
    keys = ModelSpec.model_fields.keys() - unused
    known = {key: value for key, value in made_of.items() if key in keys and value not in (None, {})}
    names = "findings" if told["extra"].get("findings") else "classes"
    learned = {names: told["extra"].get("classes"), "channels": made_of["channels"], "size": made_of["size"]}
    return known | given | {"weights": str(path)}, {key: value for key, value in learned.items() if value is not None}


def study_of_network(
    network: str,
    task: str,
    epsilons: Sequence[str],
    attack: Mapping[str, Any],
    own: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Study:
    """A study of one model that is attacked as it is, on the task's test images.

    Args:
        network: see `model_keys`.
        task: a task's name, or that of own images.
        epsilons: radii, such as "1/255".
        attack: an attack of a study: a registered name as `attack`, its settings and `images`.
        own: whether the images are one's own, and "task" of the settings says where they lie. All are test images, or those of the test split
            where one is stated. Their classes are numbered as the network learned them, where that is known.
        settings: keys of the study's "model", "task", "explain" and "trust".

    Raises:
        InputError: as `model_keys`, or a setting that is not allowed.
    """
    settings = settings or {}
    model, learned = model_keys(network, settings.get("model"))
    images: dict[str, Any] = {"name": task, "size": learned.get("size", SIZE)}
    if own:
        names = model.get("classes") or learned.get("classes")
        numbered = {"classes": names, "channels": learned.get("channels")}
        if "findings" in learned:
            images["columns"] = {"findings": learned["findings"]}
        images |= {"test_only": True} | {key: value for key, value in numbered.items() if value is not None}
    title = f"{default_name(model['backbone'], model.get('attention'), model.get('gamma'))} under attack"
    keys: dict[str, Any] = {"name": f"attack-{task}", "title": title, "training": UNTRAINED, "models": [model]}
    keys |= {"tasks": [images | dict(settings.get("task", {}))], "epsilons": list(epsilons), "attacks": [dict(attack)]}
    keys |= {key: dict(value) for key, value in settings.items() if key in ("explain", "trust")}
    return Study.read(keys, "options")
