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

from palpate.core.epsilon import parse_epsilon
from palpate.core.errors import InputError
from palpate.models.predict import Images, as_tensor

if TYPE_CHECKING:
    import polars


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The result of `palpate.sweep` on N images.

    Attributes:
        radius: (N,) float64: l∞ (or l2) norm of the smallest perturbation found; 0 where the clean image is already wrong, inf where none was found
            up to the largest epsilon, NaN where `status` is not "ok".
        labels: (N,) the true classes.
        epsilons: the epsilons asked for, rising, in [0, 1].
        passes: (N, 2) forward and backward passes spent on each image.
        status: per image "ok"; "failed", the model gave NaN or no answer; "not run", the sweep was interrupted.
        images: the clean images, as they were given.
        adversarials: (N, C, H, W), the image at its radius, the clean image where there is none; None if not kept.
        worst: (E, N, C, H, W), the image that the attack gives at each epsilon, of attacks that make one ("max-loss", "foolbox-pgd"); else None.
        norm: "linf" or "l2".
        how: "name", what tables call the attack, and its specification, as `Attack.to_dict` gives it; "interrupted" where Ctrl-C ended it.
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

    def __len__(self) -> int:
        return len(self.radius)

    @property
    def done(self) -> Tensor:
        """Which images were attacked or failed (N,), as against never reached."""
        return torch.tensor([status != "not run" for status in self.status], dtype=torch.bool)

    def robust_accuracy(self, epsilon: float | str) -> float:
        """Share in [0, 1] of the images that no perturbation found within `epsilon` fools; at 0 the clean accuracy.

        Failed images count as fooled. NaN if nothing was run.
        """
        value = parse_epsilon(epsilon, self.norm)
        done = int(self.done.sum())
        return float((self.radius > value).sum()) / done if done else float("nan")

    def images_at(self, epsilon: float | str, indices: slice | Tensor | None = None) -> Tensor:
        """Images (n, C, H, W) valid at `epsilon`: adversarial where the radius allows it, clean elsewhere.

        Of an attack that makes an image at each epsilon, these images.

        Args:
            epsilon: in [0, 1] or like "2/255"; one of `epsilons` where there is `worst`.
            indices: which images; all when absent.

        Raises:
            InputError: the images were not kept, or there is none for this epsilon.
        """
        value, where = parse_epsilon(epsilon, self.norm), slice(None) if indices is None else indices
        if self.worst is not None:
            return self.worst[self._step(value)][where]
        if self.adversarials is None:
            raise InputError('keep: the adversarial images were not kept; call sweep with keep="all"')
        clean = as_tensor(self.images[where]).to(self.adversarials)
        fooled = (self.radius <= value)[where].view(-1, *[1] * (clean.ndim - 1))
        return torch.where(fooled, self.adversarials[where], clean)

    def at(self, epsilon: float | str) -> Tensor:
        """The same as `images_at(epsilon)` for all images."""
        return self.images_at(epsilon)

    def _step(self, value: float) -> int:
        gaps = [abs(value - epsilon) for epsilon in self.epsilons]
        if min(gaps) > 1e-9:
            raise InputError(
                f"epsilon must be one of {list(self.epsilons)}, at which there are images, given {value:g}"
            )
        return gaps.index(min(gaps))

    def to_frame(self) -> "polars.DataFrame":
        """One row per image: image, label, radius, status, passes_forward, passes_backward."""
        import polars

        return polars.DataFrame(
            {
                "image": np.arange(len(self)),
                "label": self.labels.numpy(),
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
        arrays: dict[str, np.ndarray] = {
            "radius": self.radius.numpy(),
            "labels": self.labels.numpy(),
            "epsilons": np.array(self.epsilons),
            "passes": self.passes.numpy(),
            "status": np.array(self.status),
            "norm": np.array(self.norm),
            "how": np.array(json.dumps(self.how)),
        }
        for name in ("adversarials", "worst"):
            kept = getattr(self, name)
            if kept is not None:
                arrays[name] = kept.numpy()
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path, images: Images) -> "Sweep":
        """Read what `save` wrote; the clean images, which it left out, are the caller's, in the same order from the first on.

        Raises:
            InputError: the file is absent or another's, or there are fewer images than it needs.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            how, norm, status = json.loads(str(arrays["how"])), str(arrays["norm"]), tuple(arrays["status"].tolist())
            tensors = {name: torch.from_numpy(arrays[name]) for name in ("radius", "labels", "passes")}
            kept = {
                name: torch.from_numpy(arrays[name]) if name in arrays else None for name in ("adversarials", "worst")
            }
            epsilons = tuple(arrays["epsilons"].tolist())
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: is not a saved sweep ({error}); write one with Sweep.save") from None
        if len(status) > len(images):
            raise InputError(f"images must be the {len(status)} that {path} was made on, given {len(images)}")
        return cls(
            radius=tensors["radius"],
            labels=tensors["labels"],
            epsilons=epsilons,
            passes=tensors["passes"],
            status=status,
            images=images[: len(status)],
            adversarials=kept["adversarials"],
            worst=kept["worst"],
            norm=norm,
            how=how,
        )

    def first(self, count: int) -> "Sweep":
        """The same result for the first `count` images only."""
        place = slice(count)
        return dataclasses.replace(
            self,
            radius=self.radius[place],
            labels=self.labels[place],
            passes=self.passes[place],
            status=self.status[place],
            images=self.images[place],
            adversarials=None if self.adversarials is None else self.adversarials[place],
            worst=None if self.worst is None else self.worst[:, place],
        )

    def __str__(self) -> str:
        lines = [f"{'epsilon':>10} {'of 255':>8} {'robust accuracy':>16} {'fooled':>8}"]
        done = int(self.done.sum())
        for epsilon in (0.0, *self.epsilons):
            accuracy = self.robust_accuracy(epsilon)
            fooled = round((1 - accuracy) * done) if done else 0
            lines.append(f"{epsilon:>10.6g} {epsilon * 255:>8.3g} {accuracy:>16.3f} {fooled:>8}")
        median = (
            self.radius[self.done].nan_to_num(nan=0.0, posinf=float("inf")).median().item() if done else float("inf")
        )
        middle = (
            f"{median:.3g}"
            if median <= self.epsilons[-1]
            else f"beyond {self.epsilons[-1]:.3g}"
            if done
            else "not known"
        )
        forward, backward = self.passes[self.done].double().mean(0).tolist() if done else (0.0, 0.0)
        name = self.how.get("name", "unnamed")
        lines.append(f"{done} images, {self.norm}, attack {name}; median radius {middle}")
        lines.append(f"passes per image: {forward:.1f} forward, {backward:.1f} backward")
        for status in ("failed", "not run"):
            count = self.status.count(status)
            if count:
                lines.append(f"{count} images {status}")
        return "\n".join(lines)
