"""The events explorer: a recording in space and time, and the frames that a network gets of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import traitlets

from mstlib.data.events import EVENT, check
from mstlib.data.events.frames import CUTS, cuts
from mstlib.explorers.base import Explorer, Name, Number, require, table

MOST = 20_000  # events of one recording: a page has to carry and to draw them
_STORED = {"label", "size", "t", "x", "y", "p"}
_COLUMNS = {"t": "<u4", "x": "<u2", "y": "<u2", "p": "u1"}


class EventsExplorer(Explorer):
    """Events in space and time, the camera's picture of a moment, and the frames a network gets.

    Recordings are stored column by column as base64 text; the time of their first event is 0. All
    settings are synced traits.

    Args:
        recordings: ``{name: (events, size, label)}``: events (n,) of `mstlib.data.EVENT`, the
            (height, width) of the sensor in pixels, and in words what was filmed.
        recording: The recording shown at first; by default the first.
        time: The moment shown, in ms from the first event; ``None`` is the end.
        window: How long the picture of the moment collects events, 1 to 200 ms.
        slower: How many times slower it is played: 1, 10, 30 or 100.
        frames: n, the number of frames, 1 to 16.
        by: What the frames have equally much of, ``"count"`` (events) or ``"time"``.
        order: ``"as filmed"``, or ``"shuffled"``: the frames change places, in the cloud as well.
        turn: Degrees by which the cloud is turned, -90 to 90; at 0 one looks along time.
        tilt: Degrees from which one looks down on it, 0 to 90.

    Raises:
        traitlets.TraitError: a setting is outside its range, or a recording is not as above.
    """

    _view = "events"

    recordings = traitlets.Dict().tag(sync=True)
    recording = Name("recordings")
    time = Number(None, 0, 1e6, optional=True)
    window = Number(20, 1, 200, whole=True)
    slower = traitlets.Enum((1, 10, 30, 100), 30).tag(sync=True)
    frames = Number(4, 1, 16, whole=True)
    by = traitlets.Enum(CUTS, "count").tag(sync=True)
    order = traitlets.Enum(("as filmed", "shuffled"), "as filmed").tag(sync=True)
    turn = Number(40, -90, 90)
    tilt = Number(20, 0, 90)

    def __init__(
        self,
        recordings: Mapping[str, tuple[np.ndarray, tuple[int, int], str]],
        **settings: Any,
    ) -> None:
        super().__init__(recordings=dict(recordings), **settings)

    @traitlets.validate("recordings")
    def _check_recordings(self, proposal: dict) -> dict:
        require(proposal["value"], "recordings must hold at least one recording")
        return {name: _stored(name, made) for name, made in proposal["value"].items()}

    @property
    def events(self) -> np.ndarray:
        """The events (n,) of the chosen recording, `mstlib.data.EVENT`; the first is at 0 µs."""
        stored = self.recordings[self.recording]
        columns = {
            name: np.frombuffer(base64.b64decode(stored[name]), kind)
            for name, kind in _COLUMNS.items()
        }
        events = np.empty(len(columns["t"]), EVENT)
        for name, column in columns.items():
            events[name] = column
        return events

    def fallback(self) -> str:
        """The frames of the chosen recording: when each begins and ends, and how many events."""
        events, stored = self.events, self.recordings[self.recording]
        ends, rows = cuts(events, self.frames, self.by), []
        for number, (first, last) in enumerate(pairwise(ends), start=1):
            part = events[first:last]
            when = [f"{t / 1000:.1f}" for t in part["t"][[0, -1]]] if len(part) else ["", ""]
            rows.append([number, *when, int(part["p"].sum()), int((part["p"] == 0).sum())])
        height, width = stored["size"]
        return table(
            f"{self.recording} ({stored['label']}): {len(events)} events of {width} × {height} "
            f"pixels in {self.frames} frames of equal {self.by}",
            ["frame", "first event, ms", "last event, ms", "brighter", "darker"],
            rows,
        )

    def __repr__(self) -> str:
        shown = f"{self.frames} frames by {self.by}, {self.order}"
        return f"EventsExplorer({', '.join(self.recordings)}; {self.recording}, {shown})"


def _stored(name: str, made: Any) -> dict:
    """Turn a recording into what a page keeps of it; one that was turned is taken as it is."""
    if isinstance(made, Mapping) and made.keys() == _STORED:
        return dict(made)
    try:
        events, (height, width), label = made
        size = [int(height), int(width)]
        check(events, tuple(size))
    except (TypeError, ValueError) as error:
        raise traitlets.TraitError(
            f"recording {name!r} must be (events, (height, width), label): {error}"
        ) from error
    require(
        2 <= len(events) <= MOST,
        f"recording {name!r} has {len(events)} events; a page takes 2 to {MOST}: show a part, "
        "such as events[events['t'] < 100_000]",
    )
    span = int(events["t"][-1] - events["t"][0])
    require(0 < span <= 1e9, f"recording {name!r} lasts {span} µs; it must be 1 to 1,000,000,000")
    begun = events.copy()
    begun["t"] -= begun["t"][0]
    columns = {
        column: base64.b64encode(begun[column].astype(kind).tobytes()).decode()
        for column, kind in _COLUMNS.items()
    }
    return {"label": str(label), "size": size, **columns}
