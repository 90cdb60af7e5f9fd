"""`explain` makes maps of what a model looks at, by any registered method."""

import inspect
from typing import Any

from torch import Tensor, nn

from palpate.core.errors import InputError
from palpate.core.registry import EXPLAINERS
from palpate.models.predict import Images, one_message


def explain(
    model: nn.Module,
    images: Images,
    method: str = "grad-cam",
    classes: Any = None,
    layer: str | None = None,
    batch_size: int = 32,
    **settings: Any,
) -> Tensor:
    """Compute a map for each image.

    Args:
        model: a classifier, or any network from images (N, C, H, W) in [0, 1] to logits (N, K); a single logit z stands for two classes,
            whose maps are those of −z and z.
        images: float images (N, C, H, W) in [0, 1].
        method: a registered explainer (`palpate doctor` lists them), such as "grad-cam", "integrated-gradients" or "soft-attention".
        classes: the class of each map, whole numbers (N,); the predicted ones when absent. Of several findings, a column.
        layer: of Grad-CAM: "backbone", the map that the classifier pools, the default; "attention", the map after soft attention; or the name
            of a module.
        batch_size: images per pass.
        settings: of the method, such as Grad-CAM's `reshape` or the `steps` of integrated gradients.

    Returns:
        Maps (N, H, W), float, at least 0, on the CPU, not scaled: scaling each to [0, 1] is for display, and hides that a map may be empty.

    Raises:
        InputError: an unknown method or setting, a layer that the model does not have, or classes that do not fit.
    """
    explainer = EXPLAINERS[method]
    known = list(inspect.signature(explainer).parameters)[5:]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise InputError(f"{unknown[0]}: is no setting of {method!r}, which has {', '.join(known) or 'none'}")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, given {batch_size}")
    with one_message(f"model: {method} of it failed"):
        return explainer(model, images, classes, layer, batch_size, **settings)
