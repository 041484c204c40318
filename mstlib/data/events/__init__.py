"""Recordings of event cameras: what an event is, files, published and simulated sets, frames."""

from mstlib.data.events.event import EVENT, Recordings, check

__all__ = ["EVENT", "Recordings", "check"]
