"""A study's attacks towards a class, in one direction, and in norms whose epsilons exceed 1."""

import polars as pl
import pytest
from tests.study.helpers import quiet, stages_of, tiny

from palpate.attacks.result import Sweep
from palpate.core import rows
from palpate.core.errors import InputError
from palpate.data.dataset import load
from palpate.study.run import run
from palpate.study.spec import AttackSpec, Study

MODEL = [{"backbone": "test_resnet", "output_stride": 8}]


def test_rows_hold_the_target_and_leave_its_images_out(tmp_path):
    attacks = [
        {"attack": "fast", "direction": "missed disease", "images": 6},
        {"attack": "fast", "target": 1, "norm": "l2", "epsilons": ["128/255", 2, 4]},
    ]
    folder = run(tiny(models=MODEL, attacks=attacks), tmp_path / "run", device="cpu", console=quiet())
    split = load("phantom-skin", size=32, train_images=48, val_images=16, test_images=24).test
    missed, alarm = (rows.read(folder / stage / "images.parquet") for stage in stages_of(folder, "attack"))
    for table, label, target, name in (
        (missed, 1, 0, "missed-disease-by-fast"),
        (alarm, 0, 1, "to-1-by-fast-l2"),
    ):
        attacked = table.filter(pl.col("epsilon_index") > 0)
        assert set(table["label"]) == {label}
        assert set(attacked["target"]) == {target}
        assert set(attacked["attack_id"]) == {name}
        assert attacked["in_ball"].all()
        fooled = attacked.filter(pl.col("radius") <= pl.col("epsilon"))
        assert (fooled["prediction"] == target).all()
        assert set(table.filter(epsilon_index=0)["target"]) == {None}
    assert missed.filter(epsilon_index=0)["image_id"].to_list() == split.ids[split.labels == 1][:6].tolist()
    assert alarm["epsilon"].unique().sort().to_list() == [0, 128 / 255, 2, 4]
    kept = Sweep.load(folder / stages_of(folder, "attack")[0] / "sweep.npz", split.images[split.labels == 1])
    assert kept.targets is not None
    assert kept.targets.tolist() == [0] * 6


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"attack": "fast", "target": "nevus"}, r"attack to-nevus-by-fast: target must be one of .*given 'nevus'"),
        ({"attack": "fast", "target": 2}, "target must be one of .*given 2"),
    ],
)
def test_a_target_that_the_task_lacks_is_refused_before_any_work(tmp_path, attack, message):
    with pytest.raises(InputError, match=message):
        run(tiny(models=MODEL, attacks=[attack]), tmp_path / "run", device="cpu", console=quiet())
    assert not (tmp_path / "run").exists()


def test_a_direction_is_for_two_classes():
    with pytest.raises(
        InputError, match="direction is for two classes, and the task has 3; give the target, one of a, b, c"
    ):
        AttackSpec(attack="fast", direction="false alarm").goal("abc")
    assert AttackSpec(attack="fast", target="b").goal("abc") == 1
    assert AttackSpec(attack="fast").goal("abc") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"attacks": [{"attack": "foolbox-pgd", "target": 1}]},
            r"attacks\[1\]: target and direction are not for attack 'foolbox-pgd'",
        ),
        ({"attacks": [{"attack": "fast", "target": 1, "direction": "false alarm"}]}, "both given"),
        (
            {"attacks": [{"attack": "fast", "direction": "false alarms"}]},
            r"attacks\[1\].direction: .*'missed disease' or 'false alarm'",
        ),
        ({"attacks": [{"attack": "fast", "epsilons": [2]}]}, r"attacks\[1\]: epsilon must lie in \[0, 1\].*2/255"),
        (
            {"epsilons": [2], "attacks": ["fast", {"attack": "fast", "norm": "l2"}]},
            r"epsilons: epsilon must lie in \[0, 1\].*2/255",
        ),
        (
            {"epsilons": [-1], "attacks": [{"attack": "fast", "norm": "l2"}]},
            "epsilons: epsilon must be finite and not negative",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_the_file_is_read(changes, message):
    with pytest.raises(InputError, match=message):
        tiny(**changes)


def test_epsilons_are_those_of_the_norm():
    study = tiny(
        epsilons=["128/255", 2],
        attacks=[{"attack": "fast", "norm": "l2"}, {"attack": "fast", "norm": "l1", "epsilons": [50]}],
    )
    assert study.epsilons_of(study.tasks[0], attack=study.attacks[0]) == (128 / 255, 2)
    assert study.epsilons_of(study.tasks[0], attack=study.attacks[1]) == (50,)
    assert Study(**study.to_dict()) == study
