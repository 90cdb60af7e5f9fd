"""The dry run: passes counted from the settings by hand, complete stages recognised, nothing made."""

import torch
from tests.study.helpers import SPEC, tiny

from palpate.study.estimate import estimate


def test_passes_are_the_settings_product(tmp_path):
    study = tiny(seeds=[0, 1])
    first, second = estimate(study, tmp_path / "absent", None, torch.device("cpu"))
    assert (first.model, second.model) == ("test_resnet", "test_resnet+full")
    assert first.training_passes == 2 * 2 * 48  # seeds × epochs × images
    assert first.attack_passes == 2 * (12 * 3 * 6 + 12 * 10)  # Foolbox: 3 epsilons × (5 steps + 1); the fast sweep: 10
    assert (first.complete, first.stages) == (0, 2 * 6)
    assert first.present
    assert first.seconds > 0
    assert second.megabytes > first.megabytes > 2 * 4 * 372_882 / 1e6
    assert not (tmp_path / "absent").exists()


def test_corruptions_are_counted(tmp_path):
    """Twelve forward passes for each image, and eleven more for each further draw."""
    asked = ["jpeg", {"corruption": "dust", "images": 5, "draws": 2}]
    plain, more = (
        next(estimate(tiny(**each), tmp_path, None, torch.device("cpu"))) for each in ({}, {"corruptions": asked})
    )
    assert more.attack_passes - plain.attack_passes == 24 * 12 + 5 * 23
    assert more.stages - plain.stages == 2


def test_complete_stages_are_counted(finished):
    assert [line.complete for line in estimate(tiny(), finished, None, torch.device("cpu"))] == [6, 6]


def test_absent_data_are_said_and_do_not_stop_it(tmp_path):
    tasks = [SPEC["tasks"][0] | {"name": "idrid"}]
    lines = list(estimate(tiny(tasks=tasks), tmp_path, tmp_path, torch.device("cpu")))
    assert [line.present for line in lines] == [False, False]
