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
        kind = "whole number" if self.whole else "number"
        require(
            self.low <= number <= self.high and not (self.whole and number % 1),
            f"{self.name} must be a {kind} from {self.low} to {self.high}, not {value!r}",
        )
        return int(number) if self.whole else number


class Name(traitlets.Unicode):
    """A synced trait for one of the names that another setting holds, such as those of its curves.

    Args:
        among: That setting. Give it first, where both are set at once.
        default: The name at first; by default the first that the other setting holds.

    Raises:
        traitlets.TraitError: on assignment of anything else; it lists what is allowed.
    """

    def __init__(self, among: str, default: str = "") -> None:
        super().__init__(default)
        self.among = among
        self.tag(sync=True)

    def default(self, obj: Any = None) -> str:
        """Return the name at first; "" while there is none to choose."""
        if obj is None or self.default_value:
            return self.default_value
        return next(iter(getattr(obj, self.among)), "")

    def validate(self, obj: Any, value: Any) -> str:
        """Return the name; where nothing can be chosen, the other setting says so itself."""
        name, known = super().validate(obj, value), getattr(obj, self.among)
        fits = not known or name in known
        require(fits, f"{self.name} must be among {list(known)}, not {name!r}")
        return name


class Explorer(anywidget.AnyWidget):
    """Base of the explorers.

    Subclasses set `_view` (the name of their script and of its view), declare their settings as
    synced traits, which make up their state in this order, and write :meth:`fallback`. A class made
    in a notebook carries its script in `_script`, and brings it along into the page.
    """

    _css = STYLE
    _view: ClassVar[str]
    _settings: ClassVar[tuple[str, ...]]
    _script: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        if "_view" not in own:  # the class that a widget makes of its own
            return
        if "_esm" not in own:
            cls._esm = module(cls._view, cls._script)
        cls._settings = tuple(
            name
            for name, trait in own.items()
            if isinstance(trait, traitlets.TraitType) and trait.metadata.get("sync")
            if not trait.read_only
        )

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


def require(fits: object, otherwise: str) -> None:
    """Raise ``TraitError`` with this message unless what was given fits."""
    if not fits:
        raise traitlets.TraitError(otherwise)


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
