"""The table of checks, in the order in which they are made: cheap ones first, so that a small budget buys as many as it can.

A new check is one function and one row. The thresholds were fixed on one half of the planted museum and shown on the other (docs/trust.md).
"""

from palpate.verdicts import audit, gradients, inputs, result, strength
from palpate.verdicts.rules import Check

ATHALYE = "Athalye et al. 2018, arXiv 1802.00420, section 3.1"
CARLINI = "Carlini et al. 2019, arXiv 1902.06705"

CHECKS: tuple[Check, ...] = (
    Check("input range", "model", 10.0, "points", f"{CARLINI}, section 5.7", inputs.input_range),
    Check("mode and logits", "model", 0.05, "share", f"{CARLINI}, section 5", inputs.mode_and_logits),
    Check("deterministic", "model", 0.05, "share", "Athalye et al. 2018, arXiv 1802.00420, section 3.2", inputs.deterministic),
    Check("gradients", "model", 0.25, "share", "Carlini & Wagner 2017, arXiv 1608.04644, section 4", gradients.usable),
    Check("same gradient", "model", 0.5, "1 − cosine", "Athalye et al. 2018, arXiv 1802.00420, section 3.2", gradients.repeatable),
    Check("finite differences", "model", 0.5, "1 − cosine", ATHALYE, gradients.finite_differences),
    Check("ball and box", "result", 0.0, "points", f"{CARLINI}, section 5.5", audit.ball_and_box),
    Check("one step", "model", 1.0, "points", ATHALYE, strength.one_step),
    Check("rising accuracy", "model", 1.0, "points", ATHALYE, strength.rising_accuracy),
    Check("best iterate", "model", 1.0, "points", "Croce & Hein 2020, arXiv 2003.01690, section 3", strength.best_iterate),
    Check("loss at the end", "model", 0.25, "share", f"{CARLINI}, section 5.2", strength.loss_at_end),
    Check("margin loss", "model", 1.0, "points", "Croce & Hein 2020, arXiv 2003.01690, section 4", strength.margin_loss),
    Check("unbounded", "model", 5.0, "points", ATHALYE, strength.unbounded),
    Check("noise", "either", 1.0, "points", ATHALYE, result.noise),
    Check("transfer", "either", 1.0, "points", f"{CARLINI}, section 5.4", result.transfer),
    Check("eight bits", "either", 0.25, "share", "Kurakin et al. 2017, arXiv 1607.02533, section 2", audit.eight_bits),
    Check("steps and restarts", "model", 1.0, "points", f"{CARLINI}, section 5.2", strength.steps_and_restarts),
    Check("square", "either", 0.2, "points", "Andriushchenko et al. 2020, arXiv 1912.00049", result.square),
    Check("independent attacks", "result", 1.0, "points", f"{CARLINI}, section 5", result.independent_attacks),
    Check("local Lipschitz", "model", None, "logits per grey level", "Weng et al. 2018, arXiv 1801.10578", gradients.local_lipschitz),
    Check("sharpness", "model", None, "nats", "Ma et al. 2021, arXiv 1907.10456", gradients.sharpness),
)  # fmt: skip
