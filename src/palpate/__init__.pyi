"""The public names of palpate: what type checkers read, and what `__init__.py` imports on first use."""

from palpate.attacks.apgd import APGD as APGD
from palpate.attacks.api import sweep as sweep
from palpate.attacks.foolbox_pgd import FoolboxPGD as FoolboxPGD
from palpate.attacks.max_loss import MaxLoss as MaxLoss
from palpate.attacks.minimum_norm import MinimumNorm as MinimumNorm
from palpate.attacks.pgd import PGD as PGD
from palpate.attacks.square import Square as Square
from palpate.corruptions.api import corrupt as corrupt
from palpate.data.dataset import Dataset as Dataset
from palpate.data.dataset import load as load
from palpate.explainers.api import explain as explain
from palpate.models.build import build as build
from palpate.models.classifier import Classifier as Classifier
from palpate.models.weights import load_weights as load_weights
from palpate.models.wrap import wrap as wrap
from palpate.statistics.paired import compare as compare
from palpate.study.run import run as run
from palpate.study.spec import read_study as read_study
from palpate.training.loop import fit as fit
from palpate.training.spec import TrainSpec as TrainSpec
from palpate.verdicts.api import trust as trust

__version__: str
