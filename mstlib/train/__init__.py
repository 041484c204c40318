"""Train a network with QCFS activations, and a masked one from it."""

from mstlib._rooms import rooms
from mstlib.train.fit import Loss, accuracy, fit
from mstlib.train.images import Batches, jitter
from mstlib.train.penalties import Attention, Wake, distillation, divergence
from mstlib.train.recipes import RECIPES, STUDENTS, Distillation, Recipe
from mstlib.train.teach import distil, initialise, train
from mstlib.train.thresholds import Positive, calibrate, positive_thresholds

__all__ = [
    "RECIPES",
    "STUDENTS",
    "Attention",
    "Batches",
    "Distillation",
    "Loss",
    "Positive",
    "Recipe",
    "Wake",
    "accuracy",
    "calibrate",
    "distil",
    "distillation",
    "divergence",
    "fit",
    "initialise",
    "jitter",
    "positive_thresholds",
    "train",
]
__getattr__ = rooms(__name__, __path__)
