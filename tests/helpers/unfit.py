"""Networks that no other tool can be given, each with what the reader is told."""

from tiny import perceptron, tiny

import mstlib
from mstlib import Masking
from mstlib.analysis.products import with_products
from mstlib.masking import set_masking


def masked():
    snn = mstlib.convert(tiny())
    set_masking(snn, Masking(mlp=0.5))
    return snn


def trained_masked():
    snn = mstlib.convert(tiny())
    snn.trained_masking = Masking(attention=0.75)
    return snn


UNFIT = [
    (masked, "masks are set"),
    (trained_masked, r"trained with Masking\(attention=0.75.*its scores are off"),
    (lambda: with_products(mstlib.convert(tiny()), "exact"), "scores.* remember earlier steps"),
    (lambda: mstlib.convert(perceptron()), "does not say what images it takes"),
    (lambda: mstlib.convert(tiny()).half(), "float32 or float64, not torch.float16"),
]
