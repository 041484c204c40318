"""What decides the weights of a shipped model: recipes of trainings, and of masked students."""

from __future__ import annotations

from dataclasses import dataclass, field

from mstlib.masking import Masking


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights of a shipped model, beside the code and the seed.

    Attributes:
        data: Name of the data set.
        model: Fields of `SwinConfig` that differ from its defaults, or of `ConvConfig` where one of
            them is ``network`` (see `mstlib.models.build`).
        relu_epochs: Epochs with ReLU activations, at `relu_rate`.
        qcfs_epochs: Epochs with QCFS activations, at `qcfs_rate`.
        relu_rate: Highest learning rate of the first part (one cycle up and down).
        qcfs_rate: The same of the second part.
        images: Images an epoch; fresh ones, where the set is drawn on demand.
        batch_size: Images a step.
        levels: L of QCFS.
        percentile: Percentile of the ReLU outputs that becomes θ.
        spread: Width of the random rounding in the second part (see `QCFS`).
        score_cap: Upper limit of the θ of attention scores under softmax: a spike of size θ moves
            the softmax by e^θ, and one that saturates it cannot be averaged over time.
        smoothing: Label smoothing.
        weight_decay: AdamW's.
        wake: Weight of the penalty on silent attention neurons (see `Wake`).
        lesion: A lesion that lasts through the training (see `mstlib.models.lesions`), or ``None``.
        masking: Random spike masking during the second part, or ``None``.
    """

    data: str
    model: dict[str, object] = field(default_factory=dict)
    relu_epochs: int = 6
    qcfs_epochs: int = 3
    relu_rate: float = 2e-3
    qcfs_rate: float = 8e-4
    images: int = 8000
    batch_size: int = 64
    levels: int = 4
    percentile: float = 99.0
    spread: float = 1.0
    score_cap: float = 4.0
    smoothing: float = 0.05
    weight_decay: float = 0.01
    wake: float = 0.01
    lesion: str | None = None
    masking: Masking | None = None


_DIGITS = {"relu_epochs": 16, "qcfs_epochs": 6, "images": 4000, "levels": 6}
_EVENTS = {"relu_epochs": 10, "qcfs_epochs": 6, "images": 2500, "levels": 6}
_RESNET = {"network": "resnet18", "in_channels": 1, "width": 8, "deep_stem": True}
_VGG = {"network": "vgg16", "in_channels": 1, "width": 8, "hidden": 64}
# Frames of an event camera: 8 of them stacked, or summed up to one (see `draw`).
_STACKED, _SUMMED = ({"in_channels": n, "reduction": 3} for n in (16, 2))
_MOTION = {"levels": 6, "wake": 0.1}

RECIPES = {
    "mst-digits": Recipe("digits", {"in_channels": 1}, **_DIGITS),
    "mst-scenes": Recipe("scenes", wake=0.1),
    "mst-cued-digits": Recipe(
        "cued-digits", relu_epochs=10, qcfs_epochs=6, levels=6, score_cap=2.0
    ),
    # mst-digits in all but its norms: chapter 3 shows what becomes of it in spikes.
    "layernorm-digits": Recipe("digits", {"in_channels": 1, "norm": "layer"}, **_DIGITS),
    "mst-events": Recipe(
        "events-motion", _STACKED | {"classes": 8}, relu_epochs=12, qcfs_epochs=8, **_MOTION
    ),
    "mst-events-summed": Recipe(
        "events-motion", _SUMMED | {"classes": 8}, 8, 5, images=4000, **_MOTION
    ),
    "mst-events-digits": Recipe("events-digits", _STACKED, **_EVENTS),
    "mst-events-digits-summed": Recipe("events-digits", _SUMMED, **_EVENTS),
    "resnet-digits": Recipe("digits", _RESNET, **_DIGITS),
    "vgg-digits": Recipe("digits", _VGG, **_DIGITS),
}


@dataclass(frozen=True)
class Distillation:
    """How a masked student learns from its unmasked teacher (§4.3): all but the seed.

    Attributes:
        teacher: Name of the shipped model that teaches; its recipe says on which data.
        masking: The student's; an empty one makes the control that a masked student is judged by.
        epochs: Epochs of as many images as in the teacher's recipe.
        rate: Highest learning rate (one cycle up and down).
        temperature: Divides the logits of both before they are compared.
        share: Share of the teacher's answers in the loss; the rest is for the labels.
        draws: Masks drawn for each image; the student is judged by its mean logits, as the
            spiking network is, which draws a mask at every step.
        content: Weight of a penalty on attention that differs from the teacher's (see `Attention`).
        lesion: A lesion that lasts through the training (see `mstlib.models.lesions`), or ``None``.
    """

    teacher: str
    masking: Masking = field(default_factory=Masking)
    epochs: int = 4
    rate: float = 8e-4
    temperature: float = 2.0
    share: float = 0.5
    draws: int = 1
    content: float = 0.0
    lesion: str | None = None


# The masked students that are shipped, each beside the control: the same epochs without masks.
STUDENTS = {
    f"{teacher}-{name}": Distillation(teacher, masking, epochs)
    for teacher, epochs in (("mst-digits", 3), ("mst-scenes", 4))
    for name, masking in (
        ("control", Masking()),
        ("attention-50", Masking(attention=0.5)),
        ("attention-75", Masking(attention=0.75)),
        ("mlp-50", Masking(mlp=0.5)),
        ("mlp-75", Masking(mlp=0.75)),
    )
} | {
    f"{teacher}-{name}": Distillation(teacher, masking, epochs=3)
    for teacher in ("resnet-digits", "vgg-digits")
    for name, masking in (
        ("control", Masking()),
        ("conv-25", Masking(conv=0.25)),
        ("conv-50", Masking(conv=0.5)),
    )
}
