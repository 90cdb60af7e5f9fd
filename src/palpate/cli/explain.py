"""`palpate explain`: maps of what a network's predictions rest on, as pictures and as arrays."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palpate.cli.network import NetworkOptions
from palpate.cli.options import ModelArgument, TaskArgument, option
from palpate.core.registry import COMMANDS

if TYPE_CHECKING:
    import numpy as np


@COMMANDS.register("explain")
def explain(
    network: NetworkOptions,
    model: ModelArgument,
    task: TaskArgument = None,
    method: Annotated[list[str] | None, option("A registered explainer; several are shown side by side.")] = None,
    layer: Annotated[str | None, option("Of Grad-CAM: the name of a module.")] = None,
    at_most: Annotated[int, typer.Option("--at-most", min=1, help="Images explained.")] = 16,
    out: Annotated[Path, typer.Option("--out", help="The folder of pictures and maps.npz.")] = Path("maps"),
) -> None:
    """Explain a network's predictions: a picture for each image with its maps side by side, and maps.npz with the raw maps.

    Example: palpate explain weights.safetensors --images my-images --method grad-cam --method integrated-gradients
    """
    import numpy as np

    from palpate.core.io import named_errors
    from palpate.explainers.api import explain
    from palpate.models.predict import as_tensor, predict_logits
    from palpate.study.stages.explain import chosen

    study = network.study(model, task, explain={"method": method or None, "layer": layer})
    dataset, ready = network.opened(study)
    split = dataset.test
    pictures = as_tensor(split.images[:at_most])
    predicted = predict_logits(ready, pictures).argmax(1)
    maps: dict[str, Any] = {}
    for spec in study.methods_of(study.models[0]):
        asked, of_layer = chosen(ready, pictures[0], spec)
        name = asked["method"]
        typer.echo(f"{name}" + (f" of {of_layer}" if of_layer else ""))
        maps[name] = explain(ready, pictures, classes=predicted, **asked).numpy()
    known = {"image_ids": split.ids[: len(pictures)].astype(str), "labels": split.labels[: len(pictures)]}
    with named_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        for place, image in enumerate(pictures.numpy()):
            _write(out / f"{place:04d}.png", image, [each[place] for each in maps.values()])
        np.savez_compressed(out / "maps.npz", allow_pickle=False, predictions=predicted.numpy(), **known, **maps)
    said = zip(known["image_ids"], known["labels"], predicted.tolist(), strict=True)
    for place, (name, label, answer) in enumerate(said):
        typer.echo(f"{place:04d}.png  {name}: {dataset.classes[answer]} (label {dataset.classes[label]})")
    typer.echo(f"Maps of the predicted classes, {', '.join(maps)}: {out.resolve()}")


def _write(path: Path, image: "np.ndarray", maps: "list[np.ndarray]") -> None:
    """An image (C, H, W) in [0, 1], and beside it each map (H, W) laid over it, stronger where the map is larger."""
    import cv2
    import numpy as np

    from palpate.report.images import photograph

    bare, shown = photograph(image), []
    for values in maps:
        level = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
        colour = cv2.applyColorMap(np.rint(255 * level).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        share = 0.7 * level[..., None]
        shown.append(np.rint(bare * (1 - share) + colour * share).astype(np.uint8))
    cv2.imwrite(str(path), cv2.hconcat([bare, *shown]))
