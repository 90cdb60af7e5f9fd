"""The viewer inside the page: scenes with their pictures as data URIs, as many samples as a budget allows."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from palpate.report import images
from palpate.report.images import Picture, Style
from palpate.report.viewer.scenes import TARGETS, Scene, View

MODELS = 4
"""So many models of a scene are in the page; the pictures of thirty would not fit into it."""

ENOUGH = 8
"""Finer pictures are chosen only where the page then holds so many samples."""

STYLES = (
    (Style(images.EVERY, None), images.EVERY),
    (Style(224, 85), images.EVERY),
    (Style(112, 80), 112),
    (Style(64, 75), 64),
)
"""How photographs are stored and how wide differences are, from fine to coarse."""


def embed(scene: Scene, budget: int) -> dict[str, Any] | None:
    """A scene for the page's script, its first models and samples with their pictures.

    Args:
        scene: choose and order its views before; the first MODELS are kept.
        budget: bytes that the pictures may take.

    Returns:
        `scene.to_dict()` with `pictures` (data URIs), and for each view the places among them of `photos[step][image]`,
        `differences[step][image]` and `maps[method][step][target][image]`, null where there is none; and a `note` for readers. None where
        a single sample does not fit.
    """
    views, number = scene.views[:MODELS], len(scene.ids)
    wide = max(view.samples.clean.shape[-1] for view in views)
    fitting, (photos, side) = 0, STYLES[-1]
    for photos, side in (style for style in STYLES if style[0].webp or wide <= style[0].side):  # shrunk only with need
        fitting = budget // _bytes_per_sample(scene, views, photos, side)
        if fitting >= min(ENOUGH, number):
            break
    if not fitting:
        return None
    kept, kept_pictures = min(fitting, number), _Pictures()
    groups = {name: values[:kept] for name, values in scene.groups.items()}
    fewer = tuple(dataclasses.replace(view, places=view.places[:kept]) for view in views)
    cut = dataclasses.replace(scene, ids=scene.ids[:kept], labels=scene.labels[:kept], groups=groups, views=fewer)
    facts: dict[str, Any] = cut.to_dict() | {"factors": list(scene.factors)}
    for record, view in zip(facts["views"], views, strict=True):
        record |= kept_pictures.of(scene, view, kept, photos, side)
    note = f"Images are stored in the page as {photos.words}; the attacked floats are in the run's samples.npz."
    if kept < number or len(views) < len(scene.views):
        note += f" The page holds {kept} of {number} samples and {len(views)} of {len(scene.views)} models: palpate view RUN shows all."
    return facts | {"pictures": kept_pictures.uris, "note": note}


def _bytes_per_sample(scene: Scene, views: Sequence[View], photos: Style, side: int) -> int:
    """An estimate from the first samples."""
    kept_pictures, probes = _Pictures(), min(2, len(scene.ids))
    for view in views:
        kept_pictures.of(scene, view, probes, photos, side)
    return max(1, sum(map(len, kept_pictures.uris)) // probes)


class _Pictures:
    """Pictures, each kept once: the clean images of all models are usually the same."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self.places: dict[str, int] = {}

    def add(self, picture: Picture | None) -> int | None:
        if picture is None:
            return None
        place = self.places.setdefault(picture.uri, len(self.uris))
        if place == len(self.uris):
            self.uris.append(picture.uri)
        return place

    def of(self, scene: Scene, view: View, kept: int, photos: Style, side: int) -> dict[str, Any]:
        """The places of all pictures of a view's first samples."""
        steps, samples, targets = range(len(scene.epsilons)), range(kept), range(len(TARGETS))

        def maps(method: str, step: int, target: int) -> list[int | None]:
            return [self.add(grey_map(view, method, step, target, one, 28)) for one in samples]

        def differences(step: int) -> list[int | None]:
            return [self.add(difference(scene, view, step, one, side)) if step else None for one in samples]

        stored = [[self.add(photo(view, step, one, photos)) for one in samples] for step in steps]
        places = {"photos": stored, "differences": list(map(differences, steps))}
        made = {name: [[maps(name, step, one) for one in targets] for step in steps] for name in view.samples.maps}
        return places | {"maps": made}


def photo(view: View, step: int, image: int, style: Style = images.WHOLE) -> Picture | None:
    """An image of a scene; None where the view does not have it."""
    found = view.image(step, image)
    return None if found is None else images.photo(found, style)


def difference(scene: Scene, view: View, step: int, image: int, side: int) -> Picture | None:
    """What an attack changed, magnified by the scene's factor; None where the view does not have it."""
    clean, changed = view.image(0, image), view.image(step, image)
    if clean is None or changed is None:
        return None
    return images.difference(clean, changed, scene.factors[step], side)[0]


def grey_map(
    view: View, method: str, step: int, target: int, image: int, side: int = images.MAP_SIDE
) -> Picture | None:
    """A map in grey; None where the view does not have it or it is empty."""
    found = view.map(method, step, target, image)
    return None if found is None else images.grey_map(found, side)
