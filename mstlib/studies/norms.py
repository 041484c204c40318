"""Does BatchNorm inside the MLP help a network to learn (Eq. 9)?

Question: the paper adds norms to the MLP against trouble to converge. Does it show in a small
network?
Arms: BatchNorm without and with norms in the MLP, and LayerNorm; at three constant rates, with no
warm-up: 150 batches of 64 digits, with ReLU.
Seeds: 0 to 3. Images: all test digits.
Statistic: mean loss of the first and of the last 50 batches, and accuracy; mean ± standard
deviation over seeds (chapter 3).
Refuted: at this size, if the form without the norms learns as fast at every rate, as it does. What
happens on ImageNet is not decided here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

from mstlib import data
from mstlib.models.swin import MaskedSpikingTransformer, SwinConfig
from mstlib.studies.records import FOLDER, Row, Table
from mstlib.train import accuracy, initialise, jitter

TABLE = Table(FOLDER / "norms.json", recipe=("model",), lines=True)
FORMS: dict[str, dict[str, object]] = {
    "BN": {"mlp_norm": False},
    "BN, also in the MLP": {"mlp_norm": True},
    "LN": {"norm": "layer", "mlp_norm": False},
}
RATES = (0.0005, 0.002, 0.01)
SEEDS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Short:
    """A short training on digits with ReLU activations, at one learning rate from start to end.

    Attributes:
        form: One of `FORMS`.
        rate: AdamW's learning rate. It does not change, so that the first batches of a training are
            the same however long it lasts.
        seed: Decides the first weights, the images and their jitter.
        batches: How many.
        batch_size: Images a batch.
        weight_decay: AdamW's.
        clip: Largest norm of the gradient.
    """

    form: str
    rate: float = 0.002
    seed: int = 0
    batches: int = 150
    batch_size: int = 64
    weight_decay: float = 0.01
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {tuple(FORMS)}, not {self.form!r}")
        if self.batches < 1:
            raise ValueError(f"batches must be a whole number >= 1, not {self.batches}")


TRAININGS = tuple(Short(form, rate, seed) for seed in SEEDS for rate in RATES for form in FORMS)


def learn(short: Short) -> tuple[MaskedSpikingTransformer, list[float]]:
    """Do one short training.

    Returns:
        The network, in evaluation mode, and the loss of each batch.
    """
    torch.manual_seed(short.seed)
    config = SwinConfig(in_channels=1, levels=None, **FORMS[short.form])
    model = MaskedSpikingTransformer(config)
    initialise(model)
    images, labels = data.load("digits", "train")
    draw = torch.Generator().manual_seed(short.seed)
    optimiser = torch.optim.AdamW(model.parameters(), short.rate, weight_decay=short.weight_decay)
    losses: list[float] = []
    model.train()
    for _ in range(short.batches):
        pick = torch.randint(len(images), (short.batch_size,), generator=draw)
        loss = nn.functional.cross_entropy(model(jitter(images[pick], draw)), labels[pick])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), short.clip)
        optimiser.step()
        losses.append(float(loss.detach()))
    return model.eval(), losses


def results() -> list[Row]:
    """Return the stored results, a row for each short training.

    Each row has the fields of `Short`, ``model`` (those of `SwinConfig` that make its form),
    ``losses`` (of each batch) and ``accuracy`` on all test digits, between 0 and 1.
    """
    return TABLE.read()


def measure(short: Short) -> Row:
    """Do one short training; return its losses, and its accuracy on the test digits."""
    model, losses = learn(short)
    right = accuracy(model, *data.load("digits", "test"))
    return {"accuracy": round(right, 4), "losses": [round(x, 4) for x in losses]}


def run(progress: bool = False) -> None:
    """Do every training that has no stored result of the same settings yet."""
    TABLE.fill(
        TRAININGS, lambda short: asdict(short) | {"model": FORMS[short.form]}, measure, progress
    )
