"""ChestX-ray14 as the paper shows it to its networks: with the chest filter after the resize.

The paper does not say on which side of the resize the filter runs; its fixed sigma fits 224 px, hence "after".
"""

from dataclasses import replace

from palpate.core.registry import TASKS
from palpate.data.preprocess import Preprocess

_FILTER = Preprocess(grey=True, filter="wasserman2022")
_TITLE = "ChestX-ray14: pneumothorax, with the filter of Wasserman 2022"
CHEST = replace(TASKS["chestxray14"], name="chestxray14-wasserman2022", title=_TITLE, preprocess=_FILTER)
