"""What outgrows a laptop: training the full-size network, on one device or on many machines.

| module | holds |
|---|---|
| `recipe` | everything that decides a training, as small files (``recipes/*.toml``) |
| `start` | first weights from timm's Swin-T, and what is lost on the way |
| `batches` | augmented images, the same ones however many processes and workers there are |
| `norms` | BatchNorm over processes |
| `differences` | what a folder holds against what is asked for |
| `state` | a state on disk that survives any end of the process |
| `setting` | where to train, from which seed, in which precision |
| `optimise` | optimiser, schedule and mixed images, all timm's |
| `metrics` | the metrics file |
| `depth` | stochastic depth |
| `loop` | update by update, phase by phase |
| `fit` | a network trained, or a masked student |
| `report` | the plots and the final measurements |
| `task` | what a network is judged by |
| `tally` | what is counted |
| `kept` | finished pieces of an evaluation |
| `peers` | the processes of a launch, which wait for each other |
| `evaluate` | a whole data set, on many processes |
| `grid` | masked evaluations: where, how much, which draw |
| `reproduce` | the rows of the paper that need data |
| `cost` | hours, kilowatt-hours and memory |
| `study` | the switch between a laptop's networks and the paper's |
"""

from mstlib._rooms import rooms

__getattr__ = rooms(__name__, __path__)
