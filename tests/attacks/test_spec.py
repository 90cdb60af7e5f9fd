"""A setting belongs to the attack that uses it: anything else is refused by name, in Python and in a study's mapping alike."""

import pytest
import torch
from pydantic import Field

import palpate
from palpate.attacks.apgd import APGD
from palpate.attacks.foolbox_pgd import FoolboxPGD
from palpate.attacks.max_loss import MaxLoss
from palpate.attacks.minimum_norm import MinimumNorm
from palpate.attacks.pgd import PGD
from palpate.attacks.spec import Attack, make_attack
from palpate.attacks.square import Square
from palpate.core.errors import InputError
from palpate.core.registry import ATTACKS


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (MinimumNorm(), "standard"),
        (MinimumNorm(strength="fast", seed=3), "fast#3"),
        (MinimumNorm(strength="ensemble", levels=256), "ensemble-8bit"),
        (MinimumNorm(draws=8, norm="l2", seed=1), "standard-draws8-l2#1"),
        (MinimumNorm(precision="bfloat16"), "standard-bfloat16"),
        (FoolboxPGD(), "foolbox-pgd-40"),
        (FoolboxPGD(steps=7, batch_size=50), "foolbox-pgd-7-batch-size50"),
        (MaxLoss(), "max-loss-10"),
        (PGD(steps=20, loss="margin"), "pgd-20-margin"),
        (APGD(norm="l2"), "apgd-100-l2"),
        (Square(queries=5000), "square-queries5000"),
    ],
)
def test_the_name_tells_two_settings_apart(attack, name):
    assert attack.name == name
    assert make_attack(attack.to_dict()) == attack
    assert ATTACKS[attack.kind] is type(attack)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_every_registered_name_makes_a_specification(name):
    attack = make_attack(name)
    assert isinstance(attack, Attack)
    assert make_attack({"attack": name}) == attack == make_attack(attack)
    assert attack.kind in ATTACKS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("standart", "attack must be one of .*'standard'.*given 'standart'; did you mean 'standard'"),
        ({"attack": "fats"}, "did you mean 'fast'"),
        ({"strength": "fast"}, "attack: is required"),
        (40, "attack must be a name, a mapping or a specification, given 40"),
        ({"attack": "standard", "sede": 3}, "attack 'standard': sede: unknown key; did you mean `seed`"),
        ({"attack": "standard", "steps": 4}, "steps: minimum-norm does not use it, it is a setting of .*foolbox-pgd"),
        (
            {"attack": "foolbox-pgd", "draws": 8},
            "draws: foolbox-pgd does not use it, it is a setting of .*minimum-norm",
        ),
        ({"attack": "foolbox-pgd", "norm": "l2"}, "norm: Input should be 'linf', given 'l2'"),
        ({"attack": "max-loss", "seed": 1}, "seed: max-loss does not use it"),
        ({"attack": "max-loss", "levels": 256}, "levels: max-loss does not use it"),
        ({"attack": "standard", "norm": "l2", "levels": 256}, "levels go with norm 'linf' only, given 'l2'"),
        ({"attack": "standard", "levels": 1}, "levels: Input should be greater than or equal to 2, given 1"),
        ({"attack": "standard", "norm": "l7"}, "norm: Input should be .*given 'l7'"),
        ({"attack": "standard", "precision": "float16"}, "precision: Input should be .*given 'float16'"),
        ({"attack": "minimum-norm", "strength": "strong"}, "strength: Input should be .*given 'strong'"),
        (
            {"attack": "fast", "strength": "ensemble"},
            "strength: is 'fast' by the name 'fast'; write attack = 'minimum-norm'",
        ),
        ({"attack": "pgd", "steps": 0, "loss": "dlr"}, r"2 faults(.|\n)*steps(.|\n)*loss"),
    ],
)
def test_what_an_attack_does_not_use_is_refused(given, message, five):
    with pytest.raises(InputError, match=message):
        make_attack(given)
    with pytest.raises(InputError, match=message):
        palpate.sweep(five.model, five.images[:2], five.labels[:2], [0.1], given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FoolboxPGD(draws=8), "FoolboxPGD: draws: foolbox-pgd does not use it"),  # pyright: ignore
        (lambda: MinimumNorm(norm="l2", levels=256), "levels go with norm 'linf' only"),
        (lambda: PGD(step=3), "did you mean `steps`"),  # pyright: ignore
    ],
)
def test_python_refuses_in_the_same_words(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_an_attack_from_outside_needs_one_class(monkeypatch, five):
    from palpate.attacks.fixed_epsilon import FixedEpsilon

    class Corner(FixedEpsilon):
        """The corner of the ball along the first gradient's sign."""

        kind = "corner"
        stretch: float = Field(1.0, gt=0)

        def perturb(self, block, image, radius):
            clean, labels = block.clean[image], block.labels[image]
            _, _, gradient = block.access.gradient(clean, torch.nn.functional.cross_entropy, labels)
            return (clean + self.stretch * radius[:, None, None, None].float() * gradient.sign()).clamp(0, 1)

    len(ATTACKS)  # filled before it is copied
    monkeypatch.setattr(ATTACKS, "_entries", dict(ATTACKS._entries))
    ATTACKS.register("corner")(Corner)
    result = palpate.sweep(five.model, five.images, five.labels, [0.02, 0.1], {"attack": "corner", "stretch": 0.5})
    assert result.how["name"] == "corner-stretch0.5"
    assert result.radius[result.radius.isfinite()].max() <= 0.05 + 1e-6
    assert result.robust_accuracy(0.1) < result.robust_accuracy(0)
    with pytest.raises(InputError, match="it is a setting of corner"):
        make_attack({"attack": "pgd", "stretch": 2})
