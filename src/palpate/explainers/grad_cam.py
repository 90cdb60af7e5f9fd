"""What a model looks at: Grad-CAM through Captum.

A Grad-CAM map is the gradient of a class's logit, averaged over space, as weights of the last convolutional map, summed,
cut at zero and enlarged to the image (Selvaraju 2017, arXiv 1610.02391, equations 1 and 2). Maps are returned raw:
scaling each to [0, 1] is for display and hides that a map may be empty.
"""

import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor

from palpate.core.errors import InputError
from palpate.core.registry import EXPLAINERS
from palpate.models.classifier import Classifier
from palpate.models.predict import Images, device_of, evaluating


@EXPLAINERS.register("grad-cam")
def grad_cam(
    model: Classifier, images: Images, classes: Tensor | None = None, layer: str | None = None, batch_size: int = 32
) -> Tensor:
    """Compute Grad-CAM maps.

    Args:
        model: a classifier from `palpate.build` or `palpate.wrap`.
        images: float images (N, 3, H, W) in [0, 1].
        classes: the class of each map (N,); the predicted ones when absent.
        layer: "backbone", its last map (the default: the same layer with and without attention), or "attention", the map after soft attention.
        batch_size: images per pass.

    Returns:
        Maps (N, H, W), at least 0, on the CPU, not scaled. A map of zeros is empty: nothing on the layer spoke for the class.

    Raises:
        InputError: the layer is unknown, the model has no such layer, or classes do not fit.
    """
    if classes is not None and len(classes) != len(images):
        raise InputError(f"classes must name one class per image, {len(images)} of them, given {len(classes)}")
    device = device_of(model)
    explainer = LayerGradCam(model, model.feature_layer(layer or "backbone"))
    parts: list[Tensor] = []
    with evaluating(model):
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size].to(device).requires_grad_()
            if classes is None:
                with torch.no_grad():
                    chosen = model(batch).argmax(1)
            else:
                chosen = classes[start : start + batch_size].to(device)
            coarse = explainer.attribute(batch, target=chosen)  # (n, 1, h, w)
            assert isinstance(coarse, Tensor)
            fine = LayerAttribution.interpolate(coarse.clamp_min(0), batch.shape[-2:], interpolate_mode="bilinear")
            parts.append(fine[:, 0].detach().cpu())
    return torch.cat(parts)
