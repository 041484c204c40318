"""``mst events``: look at files of event cameras, and convert them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands."""
    command = commands.add_parser("events", help="look at files of event cameras")
    tools = command.add_subparsers(required=True, metavar="COMMAND")
    command = tools.add_parser("info", help="say what a file holds, and draw it")
    command.add_argument("file", type=Path)
    command.add_argument("--format", help="its format (default: told from the file)")
    command.add_argument("--png", type=Path, metavar="FILE", help="save the picture there instead")
    command.add_argument("--json", action="store_true", help="print JSON, and no picture")
    command.set_defaults(run=_events_info)
    command = tools.add_parser("convert", help="write the events of a file in another format")
    command.add_argument("file", type=Path)
    command.add_argument("target", type=Path, help="the file to write")
    command.add_argument("--to", required=True, metavar="FORMAT", help="its format")
    command.add_argument("--format", help="format of the first (default: told from the file)")
    command.set_defaults(run=_events_convert)


def _events_info(options: argparse.Namespace) -> None:
    from mstlib.data.events import examine
    from mstlib.data.events.picture import picture, sketch

    report = examine(options.file, options.format)
    (height, width), events = report.size, report.events
    start = int(events["t"].min()) if len(events) else 0
    facts = {
        "file": str(options.file),
        "format": report.format,
        "height": height,
        "width": width,
        "size_is_the_sensors": report.sensor,
        "events": len(events),
        "start_us": start,
        "duration_us": report.duration,
        "events_per_second": round(report.rate, 3),
        "brighter": round(report.brighter, 6),
        "time_goes_back": report.back,
    }
    if options.json:
        print(json.dumps(facts))
    else:
        back = f"{report.back:,} times" if report.back else "never"
        print(f"{options.file}  {report.format}")
        print(f"  {'sensor' if report.sensor else 'pixels seen':<15} {width} x {height}")
        print(f"  {'events':<15} {len(events):,}")
        print(f"  {'duration':<15} {report.duration / 1e6:,.6f} s, from {start / 1e6:,.6f} s")
        print(f"  {'rate':<15} {report.rate:,.0f} events a second")
        print(f"  {'brighter':<15} {report.brighter:.1%}")
        print(f"  {'time goes back':<15} {back}")
    if options.png:
        from matplotlib.image import imsave

        if not len(events):
            raise ValueError(f"{options.file} holds no events: there is nothing to draw")
        scale = max(1, 512 // max(height, width))
        imsave(options.png, picture(events, report.size).repeat(scale, 0).repeat(scale, 1))
    elif not options.json:
        lines = sketch(events, report.size)
        print("", *(f"  |{line}|" for line in lines), sep="\n")


def _events_convert(options: argparse.Namespace) -> None:
    from mstlib.data.events import read_events, write_events

    events = read_events(options.file, options.format)
    write_events(options.target, events, options.to)
    print(f"{options.target}: {len(events):,} events as {options.to}")
