"""The trainings of the articles, as presets of a `TrainSpec`."""

WASSERMAN = {"optimizer": "adam", "learning_rate": 0.01, "adam_epsilon": 0.1, "epochs": 300, "patience": 40}
WASSERMAN |= {"class_weights": "inverse"}
"""arXiv 2210.14405, which gives no batch size; 16 is that of its reference code."""

WASSERMAN_SKIN = WASSERMAN | {"epoch_fraction": 0.1}
"""The same with 10 % of the images in an epoch, as the article has it for skin lesions."""

DATTA = WASSERMAN | {"class_weights": {"mel": 5.0}}
"""The public code of arXiv 2105.03358, which weighs melanoma five-fold; it also chose its epoch on the test set, which palpate never does."""
