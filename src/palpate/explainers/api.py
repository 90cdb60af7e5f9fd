"""`explain` makes maps of what a model looks at, by any registered method."""

from torch import Tensor, nn

from palpate.core.registry import EXPLAINERS
from palpate.models.predict import Images


def explain(
    model: nn.Module,
    images: Images,
    method: str = "grad-cam",
    classes: Tensor | None = None,
    layer: str | None = None,
    batch_size: int = 32,
) -> Tensor:
    """Compute a map for each image.

    Args:
        model: from images (N, C, H, W) in [0, 1] to logits (N, K).
        images: float images (N, C, H, W) in [0, 1].
        method: a registered explainer (`palpate doctor` lists them); "grad-cam" is arXiv 1610.02391.
        classes: the class of each map (N,); the predicted ones when absent.
        layer: of Grad-CAM, see there.
        batch_size: images per pass.

    Returns:
        Maps (N, H, W), float, on the CPU, not scaled.

    Raises:
        InputError: an unknown method, a layer that the model does not have, or classes that do not fit.
    """
    return EXPLAINERS[method](model, images, classes, layer, batch_size)
