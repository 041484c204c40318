"""The networks: trained with QCFS activations, later converted to spikes."""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
