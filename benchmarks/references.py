"""Reference attacks with AttackBench's interface, watched: the smallest l∞ norm found for each image, and the passes it took.

adversarial-library's attacks are called with the settings that AttackBench gives them (Cinà et al. 2024, arXiv 2404.19460). No tool's own word
is taken: every image that the network is asked about is looked at during the run, and the smallest norm answered wrongly within the budget is
kept. A batch that is not the whole set is matched to the nearest clean images, and values outside [0, 1] are clipped, as AttackBench does.
"""

import dataclasses
import hashlib
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

INFINITE = float("inf")
BUDGET = 2000  # forward and backward passes of an image together: 1,000 steps of one each
Attack = Callable[..., Tensor]
"""(model, inputs, labels, targets, targeted) to adversarial inputs; `targets` counts where `targeted` is true."""


class BudgetSpent(Exception):
    """Every image has used its passes."""


class Watched(nn.Module):
    """A network that counts passes per image and keeps the smallest perturbation answered wrongly (or as the target).

    What is asked about an image whose budget is spent is not kept, and the attack is stopped once that holds for all images.
    """

    def __init__(
        self, network: nn.Module, images: Tensor, labels: Tensor, budget: int, targets: Tensor | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.images, self.labels, self.budget, self.targets = images, labels, budget, targets
        self.forwards = torch.zeros(len(images), dtype=torch.int64)
        self.backwards = torch.zeros(len(images), dtype=torch.int64)
        with torch.no_grad():
            logits = network(images)
        self.classes = logits.shape[1]
        self.radius = torch.full((len(images),), INFINITE, dtype=torch.float64)
        self.radius[self._wins(logits, torch.arange(len(images)))] = 0.0

    def __deepcopy__(self, memo: dict) -> "Watched":
        raise TypeError("a copy would not be watched")

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().clamp(0, 1) + (x - x.detach())  # torch.clamp has no gradient at its ends, where many pixels are
        rows = self._rows(x.detach())
        spent = self.spent
        if bool(spent.all()):
            raise BudgetSpent
        logits = self.network(x)
        self.forwards.index_add_(0, rows, (~spent[rows]).long())
        self._keep(rows, x.detach(), logits.detach(), spent)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._count(rows))
        return logits

    @property
    def spent(self) -> Tensor:
        """Which images have used their passes (N,)."""
        return self.forwards + self.backwards >= self.budget

    def _count(self, rows: Tensor) -> None:
        self.backwards.index_add_(0, rows, (~self.spent[rows]).long())

    def _wins(self, logits: Tensor, rows: Tensor) -> Tensor:
        guess = logits.argmax(1)
        return guess != self.labels[rows] if self.targets is None else guess == self.targets[rows]

    def _rows(self, x: Tensor) -> Tensor:
        if len(x) == len(self.images):
            return torch.arange(len(x))
        return torch.cdist(x.flatten(1), self.images.flatten(1)).argmin(1)

    def _keep(self, rows: Tensor, x: Tensor, logits: Tensor, spent: Tensor) -> None:
        norm = (x.double() - self.images[rows].double()).abs().flatten(1).amax(1)
        norm = torch.where(self._wins(logits, rows) & ~spent[rows], norm, INFINITE)
        self.radius.scatter_reduce_(0, rows, norm, "amin")


@dataclasses.dataclass(frozen=True)
class Run:
    """What an attack did to N images."""

    radius: Tensor  # (N,) float64, smallest l∞ norm that fools; 0 already wrong, inf never
    passes: Tensor  # (N, 2) forward and backward passes; images that were wrong already may have none
    seconds: float

    def spent(self) -> dict[str, float]:
        """Forward and backward passes on the images that were right: mean and median."""
        right = self.passes[self.radius > 0].double()
        if not len(right):
            return {"forward": 0.0, "backward": 0.0, "median_forward": 0.0, "median_backward": 0.0}
        forward, backward = right.mean(0).tolist()
        middle = right.median(0).values.tolist()
        return {"forward": forward, "backward": backward, "median_forward": middle[0], "median_backward": middle[1]}


def measure(
    attack: Attack,
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    budget: int = BUDGET,
    targets: Tensor | None = None,
) -> Run:
    """Run one attack under watch on the images that are right (or not yet the target); it is stopped when every one has used its budget."""
    with torch.no_grad():
        guess = torch.cat([network(part).argmax(1) for part in images.split(100)])
    open_ = guess == labels if targets is None else guess != targets
    radius, passes = torch.zeros(len(images), dtype=torch.float64), torch.zeros(len(images), 2, dtype=torch.int64)
    x, y, aims = images[open_], labels[open_], None if targets is None else targets[open_]
    watched = Watched(network, x, y, budget, aims).eval()
    torch.manual_seed(0)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            given = attack(watched, x.clone(), y.clone(), aims, targets is not None)
            watched(given.detach())  # an image that the tool may give without having asked about it
        except Exception:  # whatever a tool makes of the end of its budget
            if not bool(watched.spent.all()):
                raise
    seconds = time.perf_counter() - start
    radius[open_], passes[open_] = watched.radius, torch.stack([watched.forwards, watched.backwards], 1)
    return Run(radius, passes, seconds)


def _library(name: str) -> Callable[..., Tensor]:
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))  # of the optional logger, which is not used
    import adv_lib.attacks

    return getattr(adv_lib.attacks, name)


def minimising(name: str, **settings: object) -> Attack:
    """An attack of adversarial-library that minimises the norm by itself."""

    def run(
        model: nn.Module, inputs: Tensor, labels: Tensor, targets: Tensor | None = None, targeted: bool = False
    ) -> Tensor:
        return _library(name)(model, inputs, targets if targeted else labels, targeted=targeted, **settings)

    return run


def searching(name: str, radius_name: str, **settings: object) -> Attack:
    """An attack of adversarial-library at a radius that is doubled from 1/255 until it succeeds and then bisected, 20 runs in all."""

    def run(
        model: nn.Module, inputs: Tensor, labels: Tensor, targets: Tensor | None = None, targeted: bool = False
    ) -> Tensor:
        wanted = targets if targeted else labels
        options = dict(settings)
        if options.get("loss_function") == "dlr" and model.classes < 4:
            options["loss_function"] = "ce"  # DLR needs four classes
        if "num_targets" in options:
            options["num_targets"] = min(options["num_targets"], model.classes - 1)
        low, high = torch.zeros(len(inputs)), torch.full((len(inputs),), 2.0)
        radius, best = torch.full((len(inputs),), 1 / 255), inputs.clone()
        for _ in range(20):
            found = _library(name)(model, inputs, wanted, targeted=targeted, **{radius_name: radius}, **options)
            with torch.no_grad():
                guess = model(found).argmax(1)
            success = guess == wanted if targeted else guess != wanted
            best[success] = found[success]
            low, high = torch.where(success, low, radius), torch.where(success, radius, high)
            radius = torch.where((high < 2) | (2 * low >= 1), (low + high.clamp(max=1)) / 2, 2 * low)
        return best

    return run


ATTACKS: dict[str, Attack] = {
    "FMN 100": minimising("fmn", norm=INFINITE, steps=100),
    "FMN 1000": minimising("fmn", norm=INFINITE, steps=1000),
    "PDPGD 100": minimising("pdpgd", norm=INFINITE, num_steps=100),
    "PDPGD 1000": minimising("pdpgd", norm=INFINITE, num_steps=1000),
    # A hundred steps towards each class would spend the budget on the first radius: 25 towards each of the three likeliest.
    "APGD-T 3 × 25": searching("apgd_targeted", "eps", norm=INFINITE, n_iter=25, loss_function="dlr", num_targets=3),
    "APGD": searching("apgd", "eps", norm=INFINITE, n_iter=100, loss_function="dlr"),
    "PGD": searching("pgd_linf", "ε", steps=40, loss_function="ce", relative_step_size=1 / 30),
    "FAB 100": minimising("fab", norm=INFINITE, n_iter=100),
    "TR 100": minimising("tr", p=INFINITE, iter=100, adaptive=True),
}


def fingerprint(*folders: Path) -> str:
    """Eight letters that change with any source file of the folders."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in folders for file in folder.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def stored(file: Path, make: Callable[[], Run]) -> Run:
    """A run from its file, or made now and kept there: hours of attacks are not repeated when a table is."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        torch.save(dataclasses.asdict(make()), part)
        part.replace(file)
    return Run(**torch.load(file, weights_only=True))


def run(name: str, network: nn.Module, images: Tensor, labels: Tensor) -> Run:
    """One of the listed attacks on a network."""
    return measure(ATTACKS[name], network, images, labels)
