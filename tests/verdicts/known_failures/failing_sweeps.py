"""The known failures of results: sweeps by broken attacks, and sweeps that were changed afterwards."""

from collections.abc import Callable

from tests.verdicts.known_failures import sweeps
from tests.verdicts.known_failures.example import Example, Made, Make
from tests.verdicts.known_failures.failing import CARLINI, MISTAKE
from tests.verdicts.known_failures.tasks import EPSILONS
from tests.verdicts.known_failures.trained import Trained

import palpate
from palpate.attacks.result import Sweep
from palpate.models.adapt import as_logits_model

WEAK = {"independent attacks": "look at its steps, the sign of its loss and the unit of its epsilon"}
ERRORS = {"clean accuracy": "counts"}
STORED = {"ball and box": "radii are larger"}


def _result(broken: Callable[..., Sweep], name: str = "plain") -> Make:
    def make(nets: Trained) -> Made:
        model = getattr(nets, name)
        return Made(model, broken(as_logits_model(model, nets.finding), nets.x, nets.y, EPSILONS))

    return make


def _changed(change: Callable[[Sweep], Sweep], model: str = "plain") -> Make:
    """palpate's own sweep of a network, changed, as the sweep of the plain one."""

    def make(nets: Trained) -> Made:
        attack = {"attack": "standard", "seed": nets.seed}
        found = palpate.sweep(getattr(nets, model), nets.x, nets.y, EPSILONS, attack, finding=nets.finding, keep="all")
        return Made(nets.plain, change(found))

    return make


SWEEPS: tuple[Example, ...] = (
    Example("wrong epsilon unit", "A", _result(sweeps.wrong_unit), WEAK, "arXiv 2210.14405 names no unit"),
    Example("tiny steps", "B", _result(sweeps.tiny_steps), WEAK, f"{CARLINI} 4.9"),
    Example("zero steps", "A", _result(sweeps.zero_steps), WEAK, f"{CARLINI} 4.8"),
    Example("wrong sign", "B", _result(sweeps.wrong_sign), WEAK, f"{CARLINI} 4.14"),
    Example("one step for many", "A", _result(sweeps.single_step, "dense"), WEAK, f"{CARLINI} 4.9"),
    Example("stopped early", "B", _result(sweeps.stopped_early, "dense"), WEAK, f"{CARLINI} 4.9"),
    Example("no projection", "A", _result(sweeps.no_projection), {"ball and box": "projection"}, f"{CARLINI} 2.2"),
    Example("crashes counted", "B", _result(sweeps.crashes_counted), {"ball and box": "failed"}, MISTAKE),
    Example("errors counted", "A", _result(sweeps.errors_counted, "weak"), ERRORS, MISTAKE),
    Example("predictions for labels", "B", _result(sweeps.predictions_for_labels, "weak"), ERRORS, MISTAKE),
    Example("radii doubled", "A", _changed(lambda found: sweeps.scaled(found, 2.0)), STORED | WEAK, MISTAKE),
    Example("radii halved", "B", _changed(lambda found: sweeps.scaled(found, 0.5)), {"ball and box": "outside its ball"}, MISTAKE),
    Example("images exchanged", "B", _changed(sweeps.exchanged), {"ball and box": "outside its ball"}, MISTAKE),
    Example("outside the box", "A", _changed(sweeps.outside_the_box), {"ball and box": "beyond what is claimed"}, MISTAKE),
    Example("labels shuffled", "B", _changed(sweeps.shuffled), {"clean accuracy": "another label"}, MISTAKE),
    Example("sweep of another network", "A", _changed(lambda found: found, "sibling"), {"ball and box": "no longer fool"}, MISTAKE),
    Example("radii of another network", "B", _changed(sweeps.without_images, "adversarial"), WEAK | ERRORS, MISTAKE),
    Example("found images dropped", "B", _changed(sweeps.dropped), WEAK, MISTAKE),
)  # fmt: skip
