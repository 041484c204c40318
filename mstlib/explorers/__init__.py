"""Explorers: figures to operate, live in JupyterLab and without a kernel in the built book."""

from mstlib._rooms import rooms
from mstlib.explorers.architecture import ArchitectureExplorer
from mstlib.explorers.backbones import BackbonesExplorer
from mstlib.explorers.conversion import ConversionExplorer
from mstlib.explorers.cost import CostExplorer
from mstlib.explorers.energy import EnergyExplorer
from mstlib.explorers.events import EventsExplorer
from mstlib.explorers.masking import MaskingExplorer
from mstlib.explorers.network import NetworkExplorer
from mstlib.explorers.neuron import NeuronExplorer
from mstlib.explorers.normalisation import NormalisationExplorer
from mstlib.explorers.product import ProductExplorer
from mstlib.explorers.qcfs import QCFSExplorer
from mstlib.explorers.saliency import SaliencyExplorer

__all__ = [
    "ArchitectureExplorer",
    "BackbonesExplorer",
    "ConversionExplorer",
    "CostExplorer",
    "EnergyExplorer",
    "EventsExplorer",
    "MaskingExplorer",
    "NetworkExplorer",
    "NeuronExplorer",
    "NormalisationExplorer",
    "ProductExplorer",
    "QCFSExplorer",
    "SaliencyExplorer",
]
__getattr__ = rooms(__name__, __path__)
