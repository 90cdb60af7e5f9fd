"""What a sweep found: the smallest radius that fools each image, the images at it, and the curve that follows.

An adversarial image inside a small ball is inside every larger one, so one radius per image is the whole curve: robust accuracy at ε is the
share of images whose radius is larger than ε. An image that could not be attacked is never counted as robust.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from palpate.core.epsilon import Scale, parse_epsilon, scale_of
from palpate.core.errors import InputError
from palpate.core.formatting import epsilon as epsilon_text
from palpate.core.formatting import native
from palpate.core.io import atomic
from palpate.core.npz import read_arrays
from palpate.models.predict import Images, as_tensor

if TYPE_CHECKING:
    import polars


_ARRAYS, _OPTIONAL = (
    ("radius", "labels", "passes"),
    ("adversarials", "worst", "targets", "fooled", "flips", "crossings"),
)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The result of `palpate.sweep` on N images.

    Attributes:
        radius: (N,) float64: norm of the smallest perturbation found; 0 where the clean image is already wrong, inf where none was found
            up to the largest epsilon, NaN where `status` is not "ok".
        labels: (N,) the true classes.
        epsilons: the epsilons asked for, rising.
        passes: (N, 2) forward and backward passes spent on each image.
        status: per image "ok"; "failed", the model gave NaN or no answer; "no gradient", right when clean, but its gradient is not a number, or
            always zero, and a search without gradients found nothing, so that nothing is known beyond epsilon 0; "not run", the sweep was
            interrupted, or the image is of the class that is the target of all.
        images: the clean images, as they were given.
        adversarials: (N, C, H, W), the image at its radius, the clean image where there is none; None if not kept.
        worst: (E, N, C, H, W), the image that the attack gives at each epsilon, of attacks that make one ("max-loss", "foolbox-pgd"); else None.
        norm: "linf", "l2" or "l1"; "severity" of a corruption, whose radii and epsilons are severities in the unit that `how` states.
        how: "name", what tables call the attack, and its specification, as `Attack.to_dict` gives it; "interrupted" where Ctrl-C ended it.
        classes: K, the number of logits.
        targets: (N,) the classes that perturbations had to lead to; "fooled", "wrong" and "robust" then refer to them. None where any class would do.
        fooled: (E, N) whether the image at each epsilon fools, of attacks whose own answer at each epsilon counts ("foolbox-pgd") and of corruptions;
            else None.
        flips: (E, N) the share of a corruption's draws in which the image is misclassified at each severity; None of attacks.
        crossings: (N,) changes between right and wrong over all severities of a corruption that were tried, in rising order; None of attacks.
    """

    radius: Tensor
    labels: Tensor
    epsilons: tuple[float, ...]
    passes: Tensor
    status: tuple[str, ...]
    images: Images
    adversarials: Tensor | None
    worst: Tensor | None
    norm: str
    how: dict[str, Any]
    classes: int = 0
    targets: Tensor | None = None
    fooled: Tensor | None = None
    flips: Tensor | None = None
    crossings: Tensor | None = None

    def __len__(self) -> int:
        return len(self.radius)

    @property
    def done(self) -> Tensor:
        """Which images were attacked or failed (N,), as against never reached."""
        return torch.tensor([status != "not run" for status in self.status], dtype=torch.bool)

    def robust_accuracy(self, epsilon: float | str) -> float:
        """Share in [0, 1] of the images that no perturbation found within `epsilon` fools; at 0 the clean accuracy.

        Failed images count as fooled. Images of status "no gradient" are right at 0 and left out beyond. NaN if nothing was run. Where there is
        `fooled`, its answer at that epsilon counts, whatever an image at a smaller one did.
        """
        right, counted = self._counts(parse_epsilon(epsilon, self.norm, scale_of(self.images)))
        return right / counted if counted else float("nan")

    def _counts(self, epsilon: float) -> tuple[int, int]:
        """Images that are right at this epsilon, and those that count there."""
        blind = torch.tensor([status == "no gradient" for status in self.status], dtype=torch.bool)
        right = self.radius > epsilon
        if epsilon == 0:
            return int((right | blind).sum()), int(self.done.sum())
        if self.fooled is not None and epsilon in self.epsilons:
            right = ~self.fooled[self.epsilons.index(epsilon)] & ~self.radius.isnan()
        return int(right.sum()), int((self.done & ~blind).sum())

    @property
    def directions(self) -> dict[str, Tensor]:
        """Which images (N,) show how far each error of a task of two classes is: "missed disease", those of class 1, and "false alarm", of class 0.

        Empty for more classes. `sweep.radius[sweep.directions["missed disease"]]` are the radii.
        """
        if self.classes != 2:
            return {}
        return {"missed disease": self.done & (self.labels == 1), "false alarm": self.done & (self.labels == 0)}

    def images_at(self, epsilon: float | str, indices: slice | Tensor | None = None) -> Tensor:
        """Images (n, C, H, W) valid at `epsilon`: adversarial where the radius allows it, clean elsewhere.

        Of an attack that makes an image at each epsilon, these images.

        Args:
            epsilon: in [0, 1] or like "2/255"; one of `epsilons` where there is `worst`.
            indices: which images; all when absent.

        Raises:
            InputError: the images were not kept, or there is none for this epsilon.
        """
        value, where = (
            parse_epsilon(epsilon, self.norm, scale_of(self.images)),
            slice(None) if indices is None else indices,
        )
        if self.worst is not None:
            return self.worst[self._step(value)][where]
        if self.adversarials is None:
            raise InputError('keep: the adversarial images were not kept; call sweep with keep="all"')
        clean = as_tensor(self.images[where]).to(self.adversarials)
        fooled = (self.radius <= value)[where].view(-1, *[1] * (clean.ndim - 1))
        return torch.where(fooled, self.adversarials[where], clean)

    def _step(self, value: float) -> int:
        gaps = [abs(value - epsilon) for epsilon in self.epsilons]
        if min(gaps) > 1e-9:
            raise InputError(
                f"epsilon must be one of {list(self.epsilons)}, at which there are images, given {value:g}"
            )
        return gaps.index(min(gaps))

    def to_frame(self) -> "polars.DataFrame":
        """One row per image: image, label, target where there are targets, radius, status, passes_forward, passes_backward."""
        import polars

        return polars.DataFrame(
            {
                "image": np.arange(len(self)),
                "label": self.labels.numpy(),
                **({} if self.targets is None else {"target": self.targets.numpy()}),
                "radius": self.radius.numpy(),
                "status": list(self.status),
                "passes_forward": self.passes[:, 0].numpy(),
                "passes_backward": self.passes[:, 1].numpy(),
            }
        )

    def plot(self, axes: Any = None) -> Any:
        """Draw robust accuracy against epsilon as a step curve over the radii found, with the epsilons asked for as points; gives the axes."""
        from matplotlib.figure import Figure

        axes = axes if axes is not None else Figure(layout="constrained").add_subplot()
        found = np.unique(self.radius[self.radius.isfinite()].clamp(max=self.epsilons[-1]).numpy())
        places = np.unique(np.concatenate([[0.0], found, self.epsilons]))
        axes.step(places, [self.robust_accuracy(float(place)) for place in places], where="post", linewidth=1.2)
        axes.plot(self.epsilons, [self.robust_accuracy(epsilon) for epsilon in self.epsilons], "o", markersize=4)
        axes.set(xlabel=f"epsilon ({self.norm}, images in [0, 1])", ylabel="robust accuracy", ylim=(0, 1))
        return axes

    def save(self, path: str | Path) -> Path:
        """Write everything but the clean images to a compressed .npz without pickles, and give its path."""
        path = Path(path)
        arrays = {
            name: getattr(self, name).numpy() for name in (*_ARRAYS, *_OPTIONAL) if getattr(self, name) is not None
        }
        words = {name: getattr(self, name) for name in ("epsilons", "status", "norm", "classes")}
        words["how"] = json.dumps(self.how)
        with atomic(path) as draft, draft.open("wb") as file:
            np.savez_compressed(
                file, allow_pickle=False, **arrays, **{name: np.array(each) for name, each in words.items()}
            )
        return path

    @classmethod
    def load(cls, path: str | Path, images: Images) -> "Sweep":
        """Read what `save` wrote; the clean images, which it left out, are the caller's, in the same order from the first on.

        Raises:
            InputError: the file is absent or another's, or there are fewer images than it needs.
        """
        try:
            arrays = read_arrays(Path(path))
            tensors = {name: torch.from_numpy(arrays[name]) for name in (*_ARRAYS, *_OPTIONAL) if name in arrays}
            how, norm, status = json.loads(str(arrays["how"])), str(arrays["norm"]), tuple(arrays["status"].tolist())
            epsilons, missing = tuple(arrays["epsilons"].tolist()), set(_ARRAYS) - tensors.keys()
            classes = int(arrays.get("classes", 0))  # absent in older files
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: is not a saved sweep ({error}); write one with Sweep.save") from None
        if missing or "attack" not in how:
            raise InputError(f"{path}: was made by version 0.1; make the sweep again")
        if len(status) > len(images):
            raise InputError(f"images must be the {len(status)} that {path} was made on, given {len(images)}")
        given: dict[str, Any] = {name: tensors.get(name) for name in (*_ARRAYS, *_OPTIONAL)}
        place = slice(len(status))
        return cls(**given, epsilons=epsilons, status=status, images=images[place], norm=norm, how=how, classes=classes)

    def first(self, count: int) -> "Sweep":
        """The same result for the first `count` images only, copied: it keeps no memory of the others alive."""
        part = self.take(slice(count))
        copies = {name: value.clone() for name, value in vars(part).items() if isinstance(value, Tensor)}
        return dataclasses.replace(part, **copies)

    def take(self, place: slice | Tensor) -> "Sweep":
        """The same result for some of the images."""
        parts: dict[str, Any] = {name: getattr(self, name)[place] for name in (*_ARRAYS, "images")}
        for name in ("adversarials", "targets", "crossings"):
            parts[name] = None if getattr(self, name) is None else getattr(self, name)[place]
        for name in ("worst", "fooled", "flips"):
            parts[name] = None if getattr(self, name) is None else getattr(self, name)[:, place]
        return dataclasses.replace(self, status=tuple(np.array(self.status)[place].tolist()), **parts)

    def __str__(self) -> str:
        with native(scale_of(self.images) or Scale()):
            return self._written()

    def _written(self) -> str:
        done = int(self.done.sum())
        size = f"severity, {self.how['unit']}" if self.norm == "severity" else "epsilon"
        lines = [f"{size:>18} {'robust accuracy':>16} {'fooled':>8}"]
        for value in (0.0, *self.epsilons):
            accuracy, (right, counted) = self.robust_accuracy(value), self._counts(value)
            fooled = counted - right
            lines.append(f"{epsilon_text(value, self.norm):>18} {accuracy:>16.3f} {fooled:>8}")
        forward, backward = self.passes[self.done].double().mean(0).tolist() if done else (0.0, 0.0)
        aimed = "" if self.targets is None else " towards given classes"
        lines.append(
            f"{done} images, {self.norm}, attack {self.how.get('name', '?')}{aimed}; median radius {self._median(self.done)}"
        )
        for error, chosen in self.directions.items():
            lines.append(f"{error}: {int(chosen.sum())} images, median radius {self._median(chosen)}")
        lines.append(f"passes per image: {forward:.1f} forward, {backward:.1f} backward")
        counts = [(self.status.count(status), status) for status in ("failed", "no gradient", "not run")]
        return "\n".join([*lines, *(f"{count} images {status}" for count, status in counts if count)])

    def _median(self, chosen: Tensor) -> str:
        """The median radius of these images (N,), in words; failed ones count as 0, those of which nothing is known are left out."""
        known = chosen & torch.tensor([state in ("ok", "failed") for state in self.status], dtype=torch.bool)
        if not bool(known.any()):
            return "not known"
        median, top = self.radius[known].nan_to_num(nan=0.0, posinf=float("inf")).median().item(), self.epsilons[-1]
        return epsilon_text(median, self.norm) if median <= top else f"beyond {epsilon_text(top, self.norm)}"
