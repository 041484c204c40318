"""What outgrows a laptop: training the full-size network, on one device or on many machines.

| module | holds |
|---|---|
| `recipe` | everything that decides a training, as small files (``recipes/*.toml``) |
| `start` | first weights from timm's Swin-T, and what is lost on the way |
| `batches` | augmented images, the same ones however many processes and workers there are |
| `norms` | BatchNorm over processes |
| `state` | a state on disk that survives any end of the process |
| `fit` | the loop |
| `report` | the metrics file, the plots and the final measurements |
"""
