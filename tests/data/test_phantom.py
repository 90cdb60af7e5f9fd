"""Phantoms must be repeatable, balanced and honest: the label lies in the sign and nowhere else."""

import numpy as np
import pytest

from palpate.data.phantom import KINDS, generate


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_depend_on_how_many_are_drawn(kind):
    few, many = generate(kind, 7, 64, 3), generate(kind, 20, 64, 3)
    for name in ("images", "labels", "groups", "masks", "ids"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:7])
