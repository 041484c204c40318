"""Recordings of event cameras: what an event is, files, published and simulated sets, frames."""

from mstlib._rooms import rooms
from mstlib.data.events.event import EVENT, EventFileError, Recordings, check
from mstlib.data.events.files import FORMATS, examine, read_events, tell_format, write_events

__all__ = [
    "EVENT",
    "FORMATS",
    "EventFileError",
    "Recordings",
    "check",
    "examine",
    "read_events",
    "tell_format",
    "write_events",
]
__getattr__ = rooms(__name__, __path__)
