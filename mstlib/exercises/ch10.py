"""Exercises of chapter 10: the recursion of a map, its hits, its share, the deletion curve."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded


def _number(function: Callable[..., Tensor]) -> Callable[..., float]:
    """The function with a plain number for its result, so that both kinds of number are taken."""

    @functools.wraps(function)  # messages name its arguments
    def number(*arguments: Tensor) -> float:
        return function(*arguments).item()

    return number


# 10.1 --------------------------------------------------------------------------------------------


def _map(spikes: Tensor, gamma: float) -> Tensor:
    score, maps = torch.zeros_like(spikes[0]), []
    for s in spikes:
        maps.append((score * s).sum(-1))
        score = math.exp(-gamma) * (score + s)
    return torch.stack(maps)


def _scored(spikes: Tensor, gamma: float) -> Tensor:
    """N(t), without the factor s(t) and the sum over channels."""
    score, scores = torch.zeros_like(spikes[0]), []
    for s in spikes:
        scores.append(score)
        score = math.exp(-gamma) * (score + s)
    return torch.stack(scores)


def _with_itself(spikes: Tensor, gamma: float) -> Tensor:
    return ((_scored(spikes, gamma) + spikes) * spikes).sum(-1)


def _late(spikes: Tensor, gamma: float) -> Tensor:
    """The decay forgets to touch the newest spike: N(t) = e^-γ·N(t-1) + s(t-1)."""
    score, maps = torch.zeros_like(spikes[0]), []
    for s in spikes:
        maps.append((score * s).sum(-1))
        score = math.exp(-gamma) * score + s
    return torch.stack(maps)


def _last_only(spikes: Tensor, gamma: float) -> Tensor:
    score, maps = torch.zeros_like(spikes[0]), []
    for s in spikes:
        maps.append((score * s).sum(-1))
        score = math.exp(-gamma) * torch.where(s > 0, s, score)
    return torch.stack(maps)


def _trains(seed: int, *shape: int) -> Tensor:
    return (torch.rand(*shape, generator=seeded(seed)) < 0.4).float()


RECURSION = Exercise(
    "10.1",
    "a spike activation map in one pass",
    right=_map,
    cases=lambda: [
        (_trains(1, 12, 5, 4), 0.5),
        (_trains(2, 9, 3, 3), 1.3),
        (_trains(3, 1, 2, 6), 0.5),
    ],
    mistakes={
        "the spike of the present step counts itself; only earlier ones, t' < t, add to N(t).": (
            _with_itself
        ),
        "a spike one step ago must already have faded once: N(t) = e^(−γ)·(N(t−1) + s(t−1)).": (
            _late
        ),
        "you keep only the latest spike; every earlier one adds its share.": _last_only,
        "multiply by s(t): only neurons that fire at this step appear on its map.": (
            lambda spikes, gamma: _scored(spikes, gamma).sum(-1)
        ),
        "sum over the channels, the last axis: the map has one number a place.": (
            lambda spikes, gamma: _scored(spikes, gamma) * spikes
        ),
        "a mean over the channels, not their sum.": lambda spikes, gamma: (
            _map(spikes, gamma) / spikes.shape[-1]
        ),
        "the exponent has the wrong sign: older spikes must count less.": (
            lambda spikes, gamma: _map(spikes, -gamma)
        ),
        "nothing is forgotten here: γ is missing.": lambda spikes, gamma: _map(spikes, 0.0),
        "time runs backwards: N(t) is made of what came before t.": (
            lambda spikes, gamma: _map(spikes.flip(0), gamma).flip(0)
        ),
    },
)

# 10.2 --------------------------------------------------------------------------------------------


def _hit_rate(maps: Tensor, masks: Tensor) -> Tensor:
    top = maps == maps.amax((1, 2), keepdim=True)
    return ((top & masks).sum((1, 2)) / top.sum((1, 2))).mean()


def _first_place(maps: Tensor, masks: Tensor) -> Tensor:
    best = maps.flatten(1).argmax(1, keepdim=True)
    return masks.flatten(1).gather(1, best).float().mean()


def _boards(seed: int, images: int, side: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    # Few values, so that many maps have several highest places.
    maps = torch.randint(3, (images, side, side), generator=draw).float()
    maps += torch.arange(images)[:, None, None]
    masks = torch.rand(images, side, side, generator=draw) < 0.3
    # One that reading order decides wrongly: its first highest place is never inside.
    masks.flatten(1)[torch.arange(images), maps.flatten(1).argmax(1)] = False
    masks.flatten(1)[torch.arange(images), maps.flatten(1).argmin(1)] = True
    masks[0] = maps[0] == maps[0].amax()
    return maps, masks


HITS = Exercise(
    "10.2",
    "the pointing game, fair to ties",
    right=_number(_hit_rate),
    cases=lambda: [_boards(4, 12, 4), _boards(5, 7, 3), _boards(6, 9, 5)],
    mistakes={
        message: _number(mistake)
        for message, mistake in {
            "argmax takes the first of several equal places, and with it the side of whoever reads "
            "from the top left; give a tie the share of its places inside the mask.": _first_place,
            "any highest place inside is not a hit where others lie outside: take their share.": (
                lambda maps, masks: (
                    ((maps == maps.amax((1, 2), keepdim=True)) & masks).any(2).any(1).float().mean()
                )
            ),
            "each image has a maximum of its own; you take one over all images.": (
                lambda maps, masks: (
                    ((maps == maps.max()) & masks).sum() / (maps == maps.max()).sum()
                )
            ),
            "this is the share of the map's total inside the mask, the energy; ask where the "
            "highest place is.": lambda maps, masks: (
                (maps * masks).sum((1, 2)) / maps.sum((1, 2))
            ).mean(),
            "you divide by the size of the mask; divide by the number of highest places.": (
                lambda maps, masks: (
                    ((maps == maps.amax((1, 2), keepdim=True)) & masks).sum((1, 2))
                    / masks.sum((1, 2))
                ).mean()
            ),
            "this is in per cent; return a share between 0 and 1.": (
                lambda maps, masks: 100 * _hit_rate(maps, masks)
            ),
        }.items()
    }
    | {
        "you return one value an image; the hit rate is their mean.": (
            lambda maps, masks: (
                ((maps == maps.amax((1, 2), keepdim=True)) & masks).sum((1, 2))
                / (maps == maps.amax((1, 2), keepdim=True)).sum((1, 2))
            )
        ),
    },
)

# 10.3 --------------------------------------------------------------------------------------------


def _deletion(score: object, image: Tensor, order: Tensor) -> float:
    left, curve = image.clone(), [score(image)]
    for place in order:
        left[place] = 0
        curve.append(score(left))
    curve = torch.stack(curve)
    return (((curve[:-1] + curve[1:]) / 2).sum() / len(order)).item()


def _points(score: object, image: Tensor, order: Tensor) -> list[Tensor]:
    left, curve = image.clone(), [score(image)]
    for place in order:
        left[place] = 0
        curve.append(score(left))
    return torch.stack(curve)


def _only_one(score: object, image: Tensor, order: Tensor) -> float:
    curve = [score(image)]
    for place in order:
        left = image.clone()
        left[place] = 0
        curve.append(score(left))
    curve = torch.stack(curve)
    return (((curve[:-1] + curve[1:]) / 2).sum() / len(order)).item()


def _insertion(score: object, image: Tensor, order: Tensor) -> float:
    shown, curve = torch.zeros_like(image), [score(torch.zeros_like(image))]
    for place in order:
        shown[place] = image[place]
        curve.append(score(shown))
    curve = torch.stack(curve)
    return (((curve[:-1] + curve[1:]) / 2).sum() / len(order)).item()


def _saturating(image: Tensor) -> Tensor:
    return 1 - torch.exp(-(image * torch.arange(1, len(image) + 1)).sum() / len(image))


def _gate(image: Tensor) -> Tensor:
    return torch.sigmoid(4 * image[0] * image[1] - 1 + image.sum() / 4)


def _picture(seed: int, places: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    return 0.2 + torch.rand(places, generator=draw), torch.randperm(places, generator=draw)


DELETION = Exercise(
    "10.3",
    "the area under a deletion curve",
    right=_deletion,
    cases=lambda: [
        (_saturating, *_picture(7, 8)),
        (_gate, *_picture(8, 6)),
        (_gate, *_picture(9, 5)),
    ],
    mistakes={
        "each place is deleted from the whole image; what was deleted must stay deleted.": (
            _only_one
        ),
        "this is insertion, or deletion of the lowest places first (the two have one area): start "
        "from the whole image and delete the highest first.": _insertion,
        "the curve starts with the whole image, before anything is deleted.": (
            lambda score, image, order: _points(score, image, order)[1:].mean().item()
        ),
        "the mean of the points counts the two ends in full; by trapezoids each of the pieces "
        "counts the mean of its ends.": (
            lambda score, image, order: _points(score, image, order).mean().item()
        ),
        "the image that remains at the end, all deleted, belongs to the curve too.": (
            lambda score, image, order: _points(score, image, order)[:-1].mean().item()
        ),
        "divide by the number of pieces: the axis runs from 0 to 1.": (
            lambda score, image, order: _deletion(score, image, order) * len(order)
        ),
        "keep the score itself; you divide it by that of the whole image.": (
            lambda score, image, order: _deletion(score, image, order) / score(image).item()
        ),
    },
)

# 10.4 --------------------------------------------------------------------------------------------


def _beyond(a: Tensor, b: Tensor) -> Tensor:
    ranks = [m.flatten(1).argsort(1).argsort(1).double() for m in (a, b)]
    x, y = ((r - r.mean(1, keepdim=True)) / r.std(1, keepdim=True, correction=0) for r in ranks)
    table = x @ y.T / x.shape[1]
    images = len(table)
    others = (table.sum() - table.diagonal().sum()) / (images * (images - 1))
    return table.diagonal().mean() - others


def _values(a: Tensor, b: Tensor) -> Tensor:
    x, y = (
        (m.flatten(1) - m.flatten(1).mean(1, keepdim=True)).double()
        for m in (a.double(), b.double())
    )
    table = (x / x.norm(dim=1, keepdim=True)) @ (y / y.norm(dim=1, keepdim=True)).T
    images = len(table)
    others = (table.sum() - table.diagonal().sum()) / (images * (images - 1))
    return table.diagonal().mean() - others


def _table(a: Tensor, b: Tensor) -> Tensor:
    ranks = [m.flatten(1).argsort(1).argsort(1).double() for m in (a, b)]
    x, y = ((r - r.mean(1, keepdim=True)) / r.std(1, keepdim=True, correction=0) for r in ranks)
    return x @ y.T / x.shape[1]


def _two_maps(seed: int, images: int, side: int) -> tuple[Tensor, Tensor]:
    draw = seeded(seed)
    common = torch.rand(1, side, side, generator=draw)  # what all images share
    own = torch.rand(images, side, side, generator=draw)
    noise = torch.rand(2, images, side, side, generator=draw)
    a, b = common + own + 0.7 * noise[0], common + own + 0.7 * noise[1]
    return a.exp(), b.pow(3)  # the order of places stays, their distances do not


BEYOND = Exercise(
    "10.4",
    "agreement beyond what any two images share",
    right=_number(_beyond),
    cases=lambda: [_two_maps(10, 5, 4), _two_maps(11, 8, 3), _two_maps(12, 3, 5)],
    mistakes={
        message: _number(mistake)
        for message, mistake in {
            "this is the agreement on the same image; subtract the mean agreement of maps of "
            "different images.": lambda a, b: _table(a, b).diagonal().mean(),
            "this is the agreement across images; it is to be subtracted from that on the same.": (
                lambda a, b: (
                    (_table(a, b).sum() - _table(a, b).diagonal().sum()) / (len(a) * (len(a) - 1))
                )
            ),
            "correlate ranks, not values: only the order of the places is asked for.": _values,
            "the mean over all pairs has the pairs of the same image in it; leave them out.": (
                lambda a, b: _table(a, b).diagonal().mean() - _table(a, b).mean()
            ),
            "argsort once gives the places in order of height; the rank of each place is the "
            "argsort of that.": lambda a, b: _beyond_of_orders(a, b),
            "the sign is turned round: same image minus different images.": lambda a, b: (
                -_beyond(a, b)
            ),
        }.items()
    },
)


def _beyond_of_orders(a: Tensor, b: Tensor) -> Tensor:
    return _beyond(*(m.flatten(1).argsort(1).view(m.shape) for m in (a, b)))


EXERCISES = (RECURSION, HITS, DELETION, BEYOND)
