"""Specifications: what is refused, what the message says, and what the fingerprint sees."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate.attacks.foolbox_pgd import FoolboxPGD
from palpate.attacks.minimum_norm import MinimumNorm
from palpate.core.epsilon import parse_epsilon
from palpate.core.errors import InputError
from palpate.core.registry import RECIPES
from palpate.core.spec import fingerprint
from palpate.study.spec import Study, TaskSpec, read_study
from palpate.training.spec import TrainSpec

SMALL = {"name": "s", "epsilons": ["1/255"], "tasks": [{"name": "ham10000"}], "models": [{"backbone": "resnet18"}]}


@given(st.integers(0, 255))
def test_grey_levels_are_shares_of_255(levels: int):
    assert parse_epsilon(f"{levels}/255") == levels / 255


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none()))
def test_any_epsilon_is_a_number_in_the_unit_interval_or_refused(value):
    try:
        epsilon = parse_epsilon(value)
    except InputError as error:
        assert "epsilon" in str(error)
    else:
        assert 0 <= epsilon <= 1


@pytest.mark.parametrize("value", [-0.01, 1.5, "8", "-1/255", "1/0", "nan", math.nan, math.inf, "abc", True])
def test_epsilons_outside_the_unit_interval_are_refused(value):
    with pytest.raises(InputError, match="epsilon"):
        parse_epsilon(value)


def test_an_epsilon_in_grey_levels_is_told_how_to_write_it():
    with pytest.raises(InputError, match="8/255"):
        parse_epsilon(8)


def test_epsilons_are_sorted_without_duplicates_and_zero():
    study = Study.read(SMALL | {"epsilons": [0.02, "0.01", 0, 0.02]}, "test")
    assert study.epsilons == (0.01, 0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilom": [0.1]}, "epsilom: unknown key; did you mean `epsilons`"),
        ({"tasks": [{"name": "ham10000", "siez": 64}]}, r"tasks\[1\].siez: unknown key; did you mean `size`"),
        ({"training": {"epochs": -1}}, "training.epochs: .*greater than or equal to 0, given -1"),
        ({"training": {"name": "a/b"}}, "training.name"),
        ({"models": [{"backbone": "a"}, {"backbone": "a"}]}, "models must differ in name, given twice: a"),
        ({"models": []}, "models: .*at least 1"),
        ({"epsilons": [0]}, "at least one value above 0"),
        ({"seeds": [0, 0]}, "seeds must differ"),
        ({"attacks": [{"attack": "foolbox-pgd", "levels": 256}]}, r"attacks\[1\].levels: foolbox-pgd does not use it"),
        ({"attacks": [{"attack": "standard", "levels": 1}]}, r"attacks\[1\].levels: .*equal to 2, given 1"),
        (
            {"attacks": [{"attack": "standart"}]},
            r"attacks\[1\]: attack must be .*given 'standart'; did you mean 'standard'",
        ),
        ({"attacks": [{"images": 8}]}, r"attacks\[1\]: attack: is required"),
        ({"attacks": [{"attack": "fast", "norms": "l2"}]}, r"attacks\[1\].norms: unknown key; did you mean `norm`"),
        ({"attacks": [{"attack": "fast", "images": 0}]}, r"attacks\[1\].images: .*given 0"),
        ({"attacks": [{"attack": "fast"}, "fast"]}, "attacks must differ in name, given twice: fast"),
        ({"attacks": [{"method": "foolbox"}]}, r"attacks\[1\].method: was dropped after version 0.1; write attack ="),
        ({f"epsilon_{'read'}ing": "C"}, r"was dropped after version 0.1; write epsilons as shares.*0\.01/255"),
        (
            {"tasks": [{"name": "a", "chest_filter": "after"}]},
            r"tasks\[1\].chest_filter: was dropped after version 0.1",
        ),
        ({"tasks": [{"name": "a", "filter": "sepia"}]}, r"tasks\[1\]: image filter must be one of .*given 'sepia'"),
        ({"tasks": [{"name": "a", "filter_at": "after"}]}, r"tasks\[1\]: filter_at is given without a filter"),
        ({"explain": {"method": "grad-can"}}, r"explain.method: explainer must be .*did you mean 'grad-cam'"),
        ({"epsilons": None}, "epsilons is required, .* no epsilons are given for ham10000"),
        ({"name": "../x"}, "name"),
    ],
)
def test_faults_name_their_place_and_the_remedy(change, message):
    with pytest.raises(InputError, match=message):
        Study.read(SMALL | change, "study.toml")


def test_every_fault_is_listed_at_once(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text('name = "x"\nepsilons = [3]\nwrong = 1\n[[tasks]]\nname = "a"\n[[models]]\n')
    with pytest.raises(InputError, match="3 fault") as caught:
        read_study(file)
    assert str(file) in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(InputError, match="palpate init"):
        read_study(tmp_path / "absent.toml")
    for text in ("name = ", "x = " + "[" * 100_000):
        (tmp_path / "broken.toml").write_text(text)
        with pytest.raises(InputError, match="not valid TOML"):
            read_study(tmp_path / "broken.toml")


def test_a_task_may_have_its_own_epsilons_and_training():
    own = {"name": "ham10000", "epsilons": ["8/255"], "training": {"epochs": 3}}
    study = Study.read(SMALL | {"tasks": [own, {"name": "idrid"}]}, "test")
    assert study.epsilons_of(study.tasks[0]) == (8 / 255,)
    assert study.epsilons_of(study.tasks[1]) == (1 / 255,)
    (model,) = study.models
    assert study.training_of(study.tasks[0], model).epochs == 3
    assert study.training_of(study.tasks[1], model).epochs == 300
    kept = model.model_copy(update={"training": TrainSpec(epochs=0)})
    assert study.training_of(study.tasks[0], kept).epochs == 0


def test_the_default_training_is_the_papers():
    training = Study.read(SMALL, "test").training
    assert (training.optimizer, training.learning_rate, training.adam_epsilon) == ("adam", 0.01, 0.1)
    assert (training.epochs, training.patience, training.min_delta) == (300, 40, 0.001)
    assert training.class_weights == "inverse"


def test_a_specification_survives_json():
    study = Study.read(SMALL | {"training": {"adversarial": {"epsilon": "2/255"}}}, "test")
    assert Study.model_validate(study.to_dict()) == study


@given(
    st.dictionaries(st.text(), st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()))
)
def test_the_fingerprint_ignores_order_and_sees_every_value(value: dict):
    backwards = dict(reversed(list(value.items())))
    assert fingerprint(value) == fingerprint(backwards)
    assert fingerprint(value) != fingerprint(value | {"one more key": 1, "k" * 40: 0})


def test_an_attack_carries_its_own_settings():
    study = Study.read(
        SMALL | {"attacks": [{"attack": "standard", "norm": "l2", "seed": 3, "images": 64}, {"attack": "foolbox-pgd"}]},
        "test",
    )
    first, second = study.attacks
    assert (first.attack, first.images) == (MinimumNorm(norm="l2", seed=3), 64)
    assert (second.attack, second.images) == (FoolboxPGD(), None)
    assert Study(**study.to_dict()) == study
    assert Study(**SMALL).attacks[0].attack == MinimumNorm()
    assert Study(**SMALL, attacks=[MinimumNorm(strength="fast"), "ensemble"]).attacks[1].attack.name == "ensemble"


def test_epsilons_may_be_written_in_any_unit_as_fractions():
    study = Study.read(SMALL | {"epsilons": ["0.01/255", "0.00125/2"]}, "test")
    assert study.epsilons == (0.01 / 255, 0.00125 / 2)


def test_a_fault_in_python_is_worded_as_one_in_toml():
    with pytest.raises(InputError, match="TaskSpec: siez: unknown key; did you mean `size`"):
        TaskSpec(name="a", siez=64)
    with pytest.raises(InputError, match=r"Study: attacks\[1\].steps: minimum-norm does not use it"):
        Study(**SMALL, attacks=[{"attack": "fast", "steps": 3}])


def test_a_preset_gives_way_to_what_is_set_beside_it(monkeypatch):
    monkeypatch.setattr(RECIPES, "_entries", {**RECIPES._entries})
    RECIPES.add("brief", {"epochs": 9, "learning_rate": 0.5})
    training = Study.read(SMALL | {"training": {"preset": "brief", "epochs": 2}}, "test").training
    assert (training.name, training.epochs, training.learning_rate) == ("brief", 2, 0.5)
    with pytest.raises(InputError, match=r"preset must be one of .*, given 'breif'; did you mean 'brief'"):
        Study.read(SMALL | {"training": {"preset": "breif"}}, "test")


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "studies").glob("*.toml")), ids=lambda f: f.stem)
def test_the_studies_that_come_along_are_valid(file):
    study = read_study(file)
    assert study.name == file.stem
    if file.stem == "paper":
        assert len(study.tasks) * len(study.models) == 12
