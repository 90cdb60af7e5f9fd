"""The training presets of the article and of its reference."""

from palpate.training.spec import TrainSpec


def test_presets_are_registered_by_the_plugin():
    assert TrainSpec.model_validate({"preset": "datta2021", "epochs": 2}).class_weights == {"mel": 5.0}
    assert TrainSpec.model_validate({"preset": "wasserman2022-skin"}).epoch_fraction == 0.1
