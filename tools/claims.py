"""The ledger of claims: read book/claims.yml, check it, and write book/claims.md from it.

Usage: python tools/claims.py
"""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
LEDGER, PAGE = ROOT / "book" / "claims.yml", ROOT / "book" / "claims.md"
NOTEBOOKS = ROOT / "notebooks"

# Each status, and what it says.
STATUSES = {
    "recomputed exactly": "an identity that a cell proves with numbers, or the paper's own "
    "arithmetic done again",
    "seen at small scale": "our small networks show it too",
    "not seen at small scale": "our small networks do not show it, or show the contrary",
    "needs data we cannot ship": "the entry has the command to run where the data are",
    "not checkable": "the entry says why",
}
SHOWN = tuple(STATUSES)[:3]  # these stand on a cell
# The parts of the page: a heading, and how the ids of its entries begin.
PARTS = {
    "Equations": ("eq-",),
    "Figures": ("fig-", "blocks-"),
    "Table 1": ("t1-", "params-"),
    "Table 2": ("t2-",),
    "Table 3": ("t3-",),
    "The text": ("abstract-", "intro-", "contribution-", "related-", "text-", "conclusion-"),
}


class LedgerError(ValueError):
    """The ledger has an entry that cannot be read; the message names it."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        id: Its name, in kebab-case.
        where: Where the paper says it.
        claim: What it says, in our words.
        paper: The paper's value, or ``None`` where it gives none.
        ours: Our value: an excerpt of the stored output of a cell.
        status: One of `STATUSES`.
        notebook: Name of the notebook that has the cell.
        cell: Id of the cell.
        note: Why, or the command that would do it.
        agrees: False where the paper's statement does not come out.
    """

    id: str
    where: str
    claim: str
    paper: str | None
    ours: str | None
    status: str
    notebook: str | None = None
    cell: str | None = None
    note: str | None = None
    agrees: bool = True


def read(path: Path = LEDGER) -> list[Claim]:
    """Read the ledger.

    Raises:
        LedgerError: an entry has an unknown field, lacks one, or has a value that is no text.
    """
    claims = []
    for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), start=1):
        name = entry.get("id", f"number {number}")
        try:
            claim = Claim(**entry)
        except TypeError as trouble:
            raise LedgerError(f"{path.name}, entry {name}: {trouble}") from None
        for field, value in entry.items():
            if field == "agrees":
                if value is not False:
                    raise LedgerError(f"{path.name}, entry {name}: agrees is false or left out")
            elif not (isinstance(value, str) or value is None):
                raise LedgerError(f"{path.name}, entry {name}: {field} must be text: quote {value}")
        claims.append(claim)
    return claims


def problems(claims: Iterable[Claim], notebooks: Path = NOTEBOOKS) -> list[str]:
    """Say what is wrong with the entries and with the cells they cite, a line for each trouble."""
    claims = list(claims)
    found, seen = [], set()
    paths = (notebooks / f"{name}.ipynb" for name in {claim.notebook for claim in claims})
    outputs = {path.stem: stored_outputs(path) for path in paths if path.exists()}
    for claim in claims:
        troubles = _of_entry(claim, seen) + _of_cell(claim, outputs)
        found += [f"{claim.id}: {trouble}" for trouble in troubles]
        seen.add(claim.id)
    return found


def _of_entry(claim: Claim, seen: set[str]) -> list[str]:
    """What is wrong with an entry by itself."""
    found = []
    if claim.id in seen:
        found.append("this id is used twice")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id):
        found.append("the id is not in kebab-case")
    if not claim.id.startswith(tuple(p for prefixes in PARTS.values() for p in prefixes)):
        found.append("the id begins like none of the page's parts")
    if claim.status not in STATUSES:
        found.append(f"unknown status {claim.status!r}; there are {', '.join(STATUSES)}")
    if not claim.where or not claim.claim:
        found.append("where and claim must say something")
    if claim.status in SHOWN and not (claim.notebook and claim.cell and claim.ours):
        found.append(f"{claim.status!r} needs a notebook, a cell and our value")
    if claim.status not in SHOWN and not claim.note:
        found.append(f"{claim.status!r} needs a note")
    if claim.status.startswith("needs data") and not re.search(r"`[^`]+`", claim.note or ""):
        found.append("the note must have the command, between backticks")
    if not claim.agrees and not claim.note:
        found.append("what does not come out needs a note")
    return found


def _of_cell(claim: Claim, outputs: dict[str, dict[str, str]]) -> list[str]:
    """What is wrong with the cell that an entry cites."""
    if not (claim.notebook or claim.cell):
        return []
    if claim.notebook not in outputs:
        return [f"there is no notebook {claim.notebook}"]
    if claim.cell not in outputs[claim.notebook]:
        return [f"{claim.notebook} has no cell {claim.cell}"]
    if claim.ours and not holds(outputs[claim.notebook][claim.cell], claim.ours):
        return [f"{claim.notebook}, cell {claim.cell} does not show {claim.ours!r}"]
    return []


def stored_outputs(path: Path) -> dict[str, str]:
    """The stored output of each cell of a notebook as text: what is printed, and HTML tables."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: _text(cell.get("outputs", [])) for cell in cells}


def _text(outputs: list[dict]) -> str:
    pieces = []
    for output in outputs:
        data = output.get("data", {})
        pieces += ["".join(output.get("text", "")), "".join(data.get("text/plain", ""))]
        for table in re.findall(r"<table.*?</table>", "".join(data.get("text/html", "")), re.S):
            pieces.append(html.unescape(re.sub(r"<[^>]+>", " ", table)))
    return " ".join(" ".join(pieces).split())


def holds(text: str, excerpt: str) -> bool:
    """Whether a text has an excerpt, spaces aside, and not only as a part of a longer number."""
    words = " ".join(excerpt.split())
    return bool(re.search(rf"(?<![\d.]){re.escape(words)}(?!\.?\d)", text))


def page(claims: list[Claim]) -> str:
    """Render the ledger as a page of the book."""
    parts = [_head(claims)]
    for title, prefixes in PARTS.items():
        parts.append(f"## {title}\n")
        groups: dict[str, list[Claim]] = {}
        for claim in claims:
            if claim.id.startswith(prefixes):
                groups.setdefault(_group(title, claim), []).append(claim)
        for group, members in groups.items():
            parts += [f"### {group}\n"] * bool(group) + [_entry(claim) for claim in members]
    return "\n".join(parts)


def _group(title: str, claim: Claim) -> str:
    """The heading above an entry within its part: a data set, a model or a section, or none."""
    first, *rest = claim.where.split(", ")
    if title.startswith("Table"):
        return f"{first}, {rest[0]}"
    return first if title == "The text" else ""


def _head(claims: list[Claim]) -> str:
    rows = [
        f"| {status} | {sum(claim.status == status for claim in claims)} | {meaning} |"
        for status, meaning in STATUSES.items()
    ]
    table = "\n".join(rows)
    astray = [claim for claim in claims if not claim.agrees]
    listed = "\n".join(
        f"- [{_escape(claim.where)}](#claim-{claim.id}): {_escape(claim.claim)}" for claim in astray
    )
    return f"""% Written by tools/claims.py from claims.yml: change that file, then run the tool.

# The ledger of claims

What does the paper {{cite}}`wang2023mst` say, and does it hold? Here is every equation, every
figure and panel, every row of its three tables, and every statement of its text that can be true or
false: {len(claims)} entries. Each has the paper's value, ours, and one of five statuses:

| Status | Entries | What it means |
|---|---|---|
{table}
| **all** | {len(claims)} | |

An entry that is *recomputed* or *seen* names the cell of a notebook that shows it. A test looks
into the stored output of that cell, and fails if the value is not there. Small scale means the
small networks of this book, on their own data: what they do not show may still be true of large
ones, and the other way round.

```{{raw}} html
<div id="mst-claims-filter"></div>
<script src="../_static/mst_claims.js" defer></script>
```

## What does not come out

{len(astray)} statements contradict the paper's own numbers, each other, the published code, or
arithmetic. Rounding is allowed for. What our small networks do not show is another matter, with a
status of its own.

{listed}
"""


def _entry(claim: Claim) -> str:
    verdict = claim.status + ("" if claim.agrees else ", **does not come out**")
    lines = [_escape(claim.claim)]
    if claim.paper:
        lines.append(f"*Paper:* {_escape(claim.paper)}")
    if claim.ours:
        lines.append(f"*Here:* `{claim.ours}` ({_link(claim)}, cell `{claim.cell}`)")
    if claim.note:
        lines.append(claim.note)
    text = "\\\n  ".join(lines)  # a line each
    return f"(claim-{claim.id})=\n**{_escape(claim.where)}** · {verdict}\n: {text}\n"


def _link(claim: Claim) -> str:
    number = claim.notebook.split("_")[0]
    name = f"page {number}" if number[0] == "A" else f"chapter {int(number)}"
    return f"[{name}](../notebooks/{claim.notebook}.ipynb)"


def _escape(text: str) -> str:
    """Keep Markdown from reading signs as its own."""
    return re.sub(r"([\\`*_$<>\[\]|])", r"\\\1", text)


def main() -> None:
    """Check the ledger and write its page."""
    claims = read()
    if found := problems(claims):
        raise SystemExit("\n".join(found))
    PAGE.write_text(page(claims), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(claims)} entries")


if __name__ == "__main__":
    main()
