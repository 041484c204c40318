"""An event camera, simulated from a film of log intensities.

The model of a pixel is that of ESIM (Rebecq, Gehrig and Scaramuzza, CoRL 2018) and of v2e (Hu, Liu
and Delbruck, CVPR Workshops 2021), from whose papers it is written:

- The pixel keeps the logarithm of the brightness at its last event as a reference. When the present
  one is a threshold C above it, the pixel sends an event "brighter" and moves the reference up by
  C; when it is C below, an event "darker", and down by C.
- Between two frames the log intensity runs along a straight line, so that each crossing has a time
  of its own, and a large step makes several events.
- Thresholds differ from pixel to pixel, as transistors do. The spread is a property of the sensor:
  it is the same in every film.
- After an event a pixel is deaf for the refractory time: a crossing within it is lost, but the
  reference moves on, as in ESIM.
- Background noise is a Poisson process in every pixel, of both polarities alike. (In v2e its rate
  falls with the brightness, and leaks add events "brighter"; both are left out.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np

from mstlib.data.checks import check_seed
from mstlib.data.events.event import EVENT

_LEAST = 0.1  # of the nominal threshold: no pixel is so sensitive that it never rests


@dataclass(frozen=True)
class Camera:
    """The constants of a sensor.

    Attributes:
        threshold: C, the change of log intensity that makes an event, above 0.
        mismatch: Standard deviation of C over the pixels, 0 or more, below `threshold`. No pixel
            has less than a tenth of `threshold`.
        refractory: Time for which a pixel is deaf after an event, in microseconds.
        noise: Background events of a pixel, in a second.
        sensor: Number of the sensor: another has other thresholds.

    Raises:
        ValueError: a constant that is no finite number or outside its range.
    """

    threshold: float = 0.25
    mismatch: float = 0.0
    refractory: float = 0.0
    noise: float = 0.0
    sensor: int = 0

    def __post_init__(self) -> None:
        for name in ("threshold", "mismatch", "refractory", "noise"):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a finite number, 0 or more; got {value!r}")
        if not self.threshold > 0:
            raise ValueError(f"threshold must be above 0; got {self.threshold!r}")
        if not self.mismatch < self.threshold:
            raise ValueError(
                f"mismatch must be below the threshold {self.threshold}; got {self.mismatch!r}"
            )
        check_seed(self.sensor)

    def thresholds(self, size: tuple[int, int]) -> np.ndarray:
        """Return C of every pixel of a sensor of that (height, width), float64 of that shape."""
        return _thresholds(self, *size)


@lru_cache(maxsize=8)
def _thresholds(camera: Camera, height: int, width: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(camera.sensor))
    # Twelve uniform numbers sum to a bell of variance 1, the same on every machine.
    bell = rng.random((12, height, width)).sum(0) - 6
    spread = np.maximum(camera.threshold + camera.mismatch * bell, _LEAST * camera.threshold)
    spread.flags.writeable = False
    return spread


def film(
    frames: np.ndarray, interval: float, camera: Camera | None = None, seed: int = 0
) -> np.ndarray:
    """Film a scene with an event camera.

    Args:
        frames: log intensities (F, height, width) with F ≥ 2, at equal distances in time. The
            references of the pixels start at the first frame, which therefore makes no events.
        interval: time from one frame to the next, in microseconds, above 0.
        camera: the sensor; None for `Camera()`, an ideal one.
        seed: of the background noise.

    Returns:
        Events, an array of `EVENT` (n,), sorted by time (then by row and column); times are
        rounded down to whole microseconds, the first frame is at 0.

    Raises:
        ValueError: frames of another shape or with values that are not finite, an interval that
            is not above 0, or a negative seed.
    """
    frames = np.asarray(frames)
    if frames.ndim != 3:
        raise ValueError(f"frames must be (F, height, width) with F >= 2, not {frames.shape}")
    return film_all(frames[None], interval, camera, (seed,))[0]


def film_all(
    frames: np.ndarray,
    interval: float,
    camera: Camera | None = None,
    seeds: tuple[int, ...] | None = None,
) -> list[np.ndarray]:
    """Film several scenes of one length at once; `film` for each.

    Args:
        frames: (N, F, height, width).
        interval: as for `film`.
        camera: as for `film`.
        seeds: of the noise in each scene; None for 0, 1, 2, …

    Returns:
        The events of each scene.

    Raises:
        ValueError: as for `film`, or not one seed for each scene.
    """
    frames = np.asarray(frames)
    camera = camera or Camera()
    if frames.ndim != 4 or frames.shape[1] < 2 or 0 in frames.shape:
        raise ValueError(f"frames must be (N, F, height, width) with F >= 2, not {frames.shape}")
    if frames.dtype.kind not in "fiu" or not np.isfinite(frames).all():
        raise ValueError("frames must hold finite log intensities")
    if not (isinstance(interval, Real) and math.isfinite(interval) and interval > 0):
        raise ValueError(f"interval must be a time in microseconds above 0; got {interval!r}")
    seeds = tuple(range(len(frames))) if seeds is None else seeds
    if len(seeds) != len(frames):
        raise ValueError(f"{len(seeds)} seeds for {len(frames)} scenes; give one for each")
    count, steps, height, width = frames.shape
    parts = [_crossings(frames, interval, camera.thresholds((height, width)))]
    if camera.noise > 0:
        pixels, length = height * width, (steps - 1) * interval
        for scene, seed in enumerate(seeds):
            pixel, *rest = _noise(camera.noise, length, pixels, check_seed(seed))
            parts.append((scene * pixels + pixel, *rest))
    place, time, up = map(np.concatenate, zip(*parts, strict=True))
    if camera.refractory > 0:
        kept = _rested(place, time, camera.refractory)
        place, time, up = place[kept], time[kept], up[kept]
    return _by_scene(place, time, up, (count, height, width))


def _crossings(
    frames: np.ndarray, interval: float, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the crossings of all pixels: place in the flattened (N, H, W), time in µs, brighter.

    Intensities are counted in thresholds from the first frame on, so that the reference is a whole
    number. It stays where it is as long as the intensity is less than 1 from it.
    """
    level = np.moveaxis(frames, 1, 0).astype(np.float64)
    level = ((level - level[0]) / thresholds).reshape(len(level), -1)
    reference = np.zeros(level.shape[1])
    parts = []
    for step in range(len(level) - 1):
        before, after = level[step], level[step + 1]
        crossed = np.clip(reference, np.floor(after), np.ceil(after)) - reference
        (moved,) = np.nonzero(crossed)
        number = np.abs(crossed[moved]).astype(np.int64)
        place = np.repeat(moved, number)
        nth = np.arange(len(place)) - np.repeat(np.cumsum(number) - number, number) + 1
        height = reference[place] + np.sign(crossed[place]) * nth
        part = (height - before[place]) / (after[place] - before[place])
        parts.append((place, (step + part) * interval, crossed[place] > 0))
        reference += crossed
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def _noise(
    rate: float, length: float, pixels: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the background events of one scene: pixel, time in µs, brighter."""
    rng = np.random.Generator(np.random.PCG64(seed))
    number = rng.poisson(rate * length * 1e-6 * pixels)
    where, when, what = rng.random((3, number))
    return (where * pixels).astype(np.int64), when * length, what < 0.5


def _rested(place: np.ndarray, time: np.ndarray, refractory: float) -> np.ndarray:
    """Tell which events a pixel sends that is deaf for a time after each, bool (n,)."""
    order = np.lexsort((time, place))
    pixel, moment = place[order], time[order]
    first = np.flatnonzero(np.diff(pixel, prepend=-1))
    number = np.diff(first, append=len(pixel))
    kept = np.zeros(len(pixel), dtype=bool)
    last = np.full(len(first), -np.inf)
    for rank in range(number.max(initial=0)):  # the rank-th event of every pixel at once
        (here,) = np.nonzero(number > rank)
        at = first[here] + rank
        awake = moment[at] - last[here] >= refractory
        kept[at] = awake
        last[here[awake]] = moment[at[awake]]
    sent = np.zeros(len(place), dtype=bool)
    sent[order] = kept
    return sent


def _by_scene(
    place: np.ndarray, time: np.ndarray, up: np.ndarray, shape: tuple[int, int, int]
) -> list[np.ndarray]:
    """Make arrays of events, one for each scene, sorted by time."""
    count, height, width = shape
    events = np.zeros(len(place), EVENT)
    events["t"] = time  # rounds down
    events["y"], events["x"] = place % (height * width) // width, place % width
    events["p"] = up
    scene = place // (height * width)
    order = np.lexsort((place, events["t"], scene))
    ends = np.cumsum(np.bincount(scene, minlength=count))[:-1]
    return np.split(events[order], ends)
