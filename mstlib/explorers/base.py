"""What every explorer shares: its script, its settings, and its form for a page without a kernel.

An explorer is an anywidget. Its cell output also carries ``text/html``: a table that reads without
JavaScript, inside a ``div`` that holds the settings. In the built book ``mst_host.js`` finds the
``div`` and gives the settings to the same JavaScript view that JupyterLab runs.

A new explorer is one page of code: a script that draws with ``mst_parts.js`` and registers itself
under its name, and a subclass that declares the settings as synced traits. The script lies in
``static/``, or the class carries it as text. ``notebooks/A3_make_an_explorer.ipynb`` makes one.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

STATIC = Path(__file__).parent / "static"
STYLE = (STATIC / "explorers.css").read_text(encoding="utf-8")
_PARTS = (STATIC / "mst_parts.js").read_text(encoding="utf-8")


def module(name: str, script: str | None = None) -> str:
    """The script of view ``name`` as the ES module anywidget needs: parts, view, export.

    Args:
        name: What the view registers itself as.
        script: Its source; by default that of ``static/NAME.js``.

    Raises:
        FileNotFoundError: there is neither a script nor such a file.
    """
    view = (STATIC / f"{name}.js").read_text(encoding="utf-8") if script is None else script
    return f"{_PARTS}\n{view}\nexport default globalThis.mstExplorers.views.{name};\n"


class Number(traitlets.TraitType):
    """A synced trait for a finite number between two ends.

    Args:
        default: The value at first.
        low: The smallest value allowed.
        high: The largest value allowed.
        whole: Only whole numbers.
        optional: Allow ``None`` as well.

    Raises:
        traitlets.TraitError: on assignment of anything else; it names the setting, the value and
            what is allowed.
    """

    def __init__(
        self,
        default: float | None,
        low: float,
        high: float,
        *,
        whole: bool = False,
        optional: bool = False,
    ) -> None:
        super().__init__(default, allow_none=optional)
        self.low, self.high, self.whole = low, high, whole
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> float:
        """Return the value as a plain ``int`` or ``float``."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not self.low <= number <= self.high or (self.whole and number % 1):
            kind = "whole number" if self.whole else "number"
            raise traitlets.TraitError(
                f"{self.name} must be a {kind} from {self.low} to {self.high}, not {value!r}"
            )
        return int(number) if self.whole else number


class Explorer(anywidget.AnyWidget):
    """Base of the explorers.

    Subclasses set `_view` (the name of their script and of its view) and `_settings` (the synced
    traits that make up their state) and write :meth:`fallback`. A class made in a notebook carries
    its script in `_script`, and brings it along into the page.
    """

    _css = STYLE
    _view: ClassVar[str]
    _settings: ClassVar[tuple[str, ...]]
    _script: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_script" in vars(cls):
            cls._esm = module(cls._view, cls._script)

    def fallback(self) -> str:
        """HTML that tells the same without JavaScript."""
        raise NotImplementedError

    def to_html(self) -> str:
        """The explorer for a page without a kernel: the same text at every run."""
        state = {name: getattr(self, name) for name in self._settings}
        text = html.escape(json.dumps(state, separators=(",", ":"), allow_nan=False))
        return (
            f'<div class="mst-widget" data-widget="{self._view}" data-state="{text}">'
            f"{self.fallback()}</div>{self._inline_script()}"
        )

    def _inline_script(self) -> str:
        if self._script is None:
            return ""
        # Both would change how a browser reads the page, even within a text or a comment.
        script = self._script.replace("<!--", r"<\!--")
        script = re.sub("</(?=script)", r"<\\/", script, flags=re.IGNORECASE)
        return (
            "<script>(globalThis.mstExplorerQueue ??= []).push(function () {\n"
            f"{script}\n}});</script>"
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._settings)
        return f"{type(self).__name__}({shown})"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        return data | {"text/html": self.to_html()}, metadata


def table(caption: str, head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """An HTML table with a caption; the first cell of each row is its header."""
    columns = "".join(f'<th scope="col">{html.escape(str(cell))}</th>' for cell in head)
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in rest)
        body += f'<tr><th scope="row">{html.escape(str(first))}</th>{cells}</tr>'
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
    )
