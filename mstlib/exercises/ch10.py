"""Exercises of chapter 10: the recursion of a map, its hits, its share, the deletion curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps

import torch
from torch import Tensor

from mstlib.exercises.grading import Exercise, seeded


def _number(function: Callable[..., Tensor]) -> Callable[..., float | Tensor]:
    """The function with a plain number for its result, so that both kinds of number are taken."""

    @wraps(function)  # messages name its arguments
    def number(*arguments: Tensor) -> float | Tensor:
        result = function(*arguments)
        return result.item() if result.numel() == 1 else result

    return number


def _numbers(mistakes: dict[str, Callable[..., Tensor]]) -> dict[str, Callable]:
    return {message: _number(mistake) for message, mistake in mistakes.items()}


# 10.1 --------------------------------------------------------------------------------------------


def _faded(score: Tensor, s: Tensor, kept: float) -> Tensor:
    return kept * (score + s)


def _scores(spikes: Tensor, gamma: float, after: Callable[..., Tensor] = _faded) -> Tensor:
    """N(t) of each step, made of N(t-1), s(t-1) and e^-γ."""
    scores = [torch.zeros_like(spikes[0])]
    for s in spikes[:-1]:
        scores.append(after(scores[-1], s, math.exp(-gamma)))
    return torch.stack(scores)


def _map(spikes: Tensor, gamma: float, after: Callable[..., Tensor] = _faded) -> Tensor:
    return (_scores(spikes, gamma, after) * spikes).sum(-1)


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
            lambda spikes, gamma: ((_scores(spikes, gamma) + spikes) * spikes).sum(-1)
        ),
        "a spike one step ago must already have faded once: N(t) = e^(−γ)·(N(t−1) + s(t−1)).": (
            partial(_map, after=lambda score, s, kept: kept * score + s)
        ),
        "you keep only the latest spike; every earlier one adds its share.": (
            partial(_map, after=lambda score, s, kept: kept * torch.where(s > 0, s, score))
        ),
        "multiply by s(t): only neurons that fire at this step appear on its map.": (
            lambda *x: _scores(*x).sum(-1)
        ),
        "sum over the channels, the last axis: the map has one number a place.": (
            lambda spikes, gamma: _scores(spikes, gamma) * spikes
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


def _hits(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """How many of each image's highest places are inside, and how many there are."""
    top = maps == maps.amax((1, 2), keepdim=True)
    return (top & masks).sum((1, 2)), top.sum((1, 2))


def _hit_rate(maps: Tensor, masks: Tensor) -> Tensor:
    return torch.div(*_hits(maps, masks)).mean()


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
    mistakes=_numbers(
        {
            "argmax takes the first of several equal places, and with it the side of whoever reads "
            "from the top left; give a tie the share of its places inside the mask.": _first_place,
            "any highest place inside is not a hit where others lie outside: take their share.": (
                lambda *x: (_hits(*x)[0] > 0).float().mean()
            ),
            "each image has a maximum of its own; you take one over all images.": (
                lambda maps, masks: masks[maps == maps.max()].float().mean()
            ),
            "this is the share of the map's total inside the mask, the energy; ask where the "
            "highest place is.": lambda maps, masks: (
                (maps * masks).sum((1, 2)) / maps.sum((1, 2))
            ).mean(),
            "you divide by the size of the mask; divide by the number of highest places.": (
                lambda maps, masks: (_hits(maps, masks)[0] / masks.sum((1, 2))).mean()
            ),
            "this is in per cent; return a share between 0 and 1.": lambda *x: 100 * _hit_rate(*x),
            "you return one value an image; the hit rate is their mean.": (
                lambda *x: torch.div(*_hits(*x))
            ),
        }
    ),
)

# 10.3 --------------------------------------------------------------------------------------------


def _points(score: Callable, start: Tensor, order: Tensor, end: Tensor | None = None) -> Tensor:
    """The scores while place after place of an image goes to 0, or to its value at the end."""
    left, curve = start.clone(), [score(start)]
    for place in order:
        left[place] = 0 if end is None else end[place]
        curve.append(score(left))
    return torch.stack(curve)


def _area(points: Tensor) -> float:
    return torch.trapezoid(points, dx=1 / (len(points) - 1)).item()


def _deletion(score: Callable, image: Tensor, order: Tensor) -> float:
    return _area(_points(score, image, order))


def _only_one(score: Callable, image: Tensor, order: Tensor) -> float:
    single = [_points(score, image, place[None])[1] for place in order]
    return _area(torch.stack([score(image), *single]))


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
        "from the whole image and delete the highest first.": lambda score, image, order: _area(
            _points(score, torch.zeros_like(image), order, image)
        ),
        "the curve starts with the whole image, before anything is deleted.": (
            lambda *x: _points(*x)[1:].mean().item()
        ),
        "the mean of the points counts the two ends in full; by trapezoids each of the pieces "
        "counts the mean of its ends.": lambda *x: _points(*x).mean().item(),
        "the image that remains at the end, all deleted, belongs to the curve too.": (
            lambda *x: _points(*x)[:-1].mean().item()
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


def _ranks(maps: Tensor) -> Tensor:
    return maps.flatten(1).argsort(1).argsort(1).double()


def _table(a: Tensor, b: Tensor, seen: Callable[[Tensor], Tensor] = _ranks) -> Tensor:
    """The correlation of each map of a with each map of b."""
    return torch.corrcoef(torch.cat([seen(a), seen(b)]))[: len(a), len(a) :]


def _others(table: Tensor) -> Tensor:
    return (table.sum() - table.trace()) / (len(table) * (len(table) - 1))


def _beyond(a: Tensor, b: Tensor, seen: Callable[[Tensor], Tensor] = _ranks) -> Tensor:
    table = _table(a, b, seen)
    return table.diagonal().mean() - _others(table)


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
    mistakes=_numbers(
        {
            "this is the agreement on the same image; subtract the mean agreement of maps of "
            "different images.": lambda *x: _table(*x).diagonal().mean(),
            "this is the agreement across images; it is to be subtracted from that on the same.": (
                lambda *x: _others(_table(*x))
            ),
            "correlate ranks, not values: only the order of the places is asked for.": (
                partial(_beyond, seen=lambda maps: maps.flatten(1).double())
            ),
            "the mean over all pairs has the pairs of the same image in it; leave them out.": (
                lambda *x: _table(*x).diagonal().mean() - _table(*x).mean()
            ),
            "argsort once gives the places in order of height; the rank of each place is the "
            "argsort of that.": lambda *x: _beyond(*(m.flatten(1).argsort(1) for m in x)),
            "the sign is turned round: same image minus different images.": lambda *x: -_beyond(*x),
        }
    ),
)

EXERCISES = (RECURSION, HITS, DELETION, BEYOND)
