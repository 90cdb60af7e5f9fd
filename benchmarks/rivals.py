"""The other tools, each called as its users call it, brought to one form: the smallest norm at which each image was fooled.

No tool's own word is taken: every image a rival gives is predicted again, and its norm measured in float64. Attacks at one radius are restarted at
each epsilon, since that is what their users do for a curve.
"""

import dataclasses
import importlib.metadata
import sys
import time
import types
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

ROUNDING = 1e-6  # a rival may overshoot its ball by so much
Attack = Callable[[nn.Module, Tensor, Tensor, list[float]], list[Tensor]]
"""From model, images, labels and epsilons to any number of sets of adversarial images, each (N, C, H, W)."""


class Counted(nn.Module):
    """The model with its forward and backward passes counted, in images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        output = self.model(x)
        if output.requires_grad:
            output.register_hook(self._count)
        return output

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@dataclasses.dataclass(frozen=True)
class Run:
    """What an attack did to N images."""

    radius: Tensor  # (N,) float64, smallest norm that fools; 0 already wrong, inf never
    passes: tuple[float, float]  # forward, backward, per image
    seconds: float


def measure(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> Run:
    """Run a rival and look at what it gives."""
    counted = Counted(model).eval()
    torch.manual_seed(0)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = attack(counted, images, labels, epsilons)
    seconds = time.perf_counter() - start
    passes = (counted.forwards / len(images), counted.backwards / len(images))
    with torch.no_grad():
        radius = torch.where(model(images).argmax(1) == labels, float("inf"), 0.0).double()
        for adversarial in results:
            norm = (adversarial.double() - images.double()).abs().flatten(1).amax(1)
            inside = (adversarial >= 0).flatten(1).all(1) & (adversarial <= 1).flatten(1).all(1)
            fooled = (model(adversarial).argmax(1) != labels) & inside & (norm < radius)
            radius = torch.where(fooled, norm, radius)
    return Run(radius, passes, seconds)


def foolbox_pgd(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """The paper's: LinfPGD, 40 steps of ε / 30, at every epsilon."""
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    return foolbox.attacks.LinfPGD()(wrapped, images, labels, epsilons=epsilons)[1]


def foolbox_fmn(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """Fast minimum norm, 200 steps."""
    import foolbox

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    _, adversarial, _ = foolbox.attacks.LInfFMNAttack(steps=200)(wrapped, images, labels, epsilons=None)
    return [adversarial]


def art_pgd(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """ART's ProjectedGradientDescent, 40 steps of ε / 10, one random start."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classes = int(model(images[:1]).shape[1])
    estimator = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(images.shape[1:]), classes, clip_values=(0, 1))
    results = []
    for epsilon in epsilons:
        attack = ProjectedGradientDescent(
            estimator, eps=epsilon, eps_step=epsilon / 10, max_iter=40, num_random_init=1, batch_size=64, verbose=False
        )
        results.append(torch.from_numpy(attack.generate(images.numpy(), labels.numpy())))
    return results


def torchattacks_pgd(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """torchattacks' PGD, 40 steps of ε / 10."""
    import torchattacks

    return [torchattacks.PGD(model, eps=e, alpha=e / 10, steps=40)(images, labels) for e in epsilons]


def _adversarial_library() -> types.ModuleType:
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))  # of its optional logger, which is not used
    import adv_lib.attacks

    return adv_lib.attacks


def advlib_tr(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """adversarial-library's trust region, adaptive, 100 steps, over the nearest of up to 9 classes."""
    classes = int(model(images[:1]).shape[1])
    attack = _adversarial_library().tr
    return [attack(model, images.clone(), labels, adaptive=True, p=float("inf"), c=min(9, classes - 1))]


def advlib_apgd(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """adversarial-library's APGD with a binary search of the radius: 10 rounds of 40 steps, targeted where K allows it."""
    _adversarial_library()
    from adv_lib.attacks.auto_pgd import minimal_apgd

    classes = int(model(images[:1]).shape[1])
    return [
        minimal_apgd(
            model, images, labels, norm=float("inf"), max_eps=epsilons[-1], binary_search_steps=10, n_iter=40,
            loss_function="ce" if classes < 4 else "dlr",
        )
    ]  # fmt: skip


def autoattack(model: nn.Module, images: Tensor, labels: Tensor, epsilons: list[float]) -> list[Tensor]:
    """AutoAttack's standard version, at the epsilons given."""
    from pyautoattack import AutoAttack

    results = []
    for epsilon in epsilons:
        attack = AutoAttack(model, eps=epsilon, norm="Linf", seed=0, version="standard", device="cpu")
        attack.verbose = False
        given = attack.run_standard_evaluation(images, labels, batch_size=64)
        results.append(given if isinstance(given, Tensor) else given[0])
    return results


RIVALS: dict[str, Attack] = {
    "Foolbox LinfPGD 40 × 8": foolbox_pgd,
    "Foolbox FMN 200": foolbox_fmn,
    "ART PGD 40 × 8": art_pgd,
    "torchattacks PGD 40 × 8": torchattacks_pgd,
    "adversarial-library TR": advlib_tr,
    "adversarial-library APGD 40 × 10": advlib_apgd,
}
SLOW = {"ART PGD 40 × 8", "torchattacks PGD 40 × 8", "adversarial-library APGD 40 × 10"}  # on two kinds of model only
PACKAGES = ["torch", "foolbox", "adversarial-robustness-toolbox", "torchattacks", "adv-lib", "pyautoattack"]


def versions() -> dict[str, str]:
    """Versions of the tools, "absent" where one is not installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found
