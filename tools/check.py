"""Run every check of the project, all of them even if one fails, and sum up at the end.

python tools/check.py          all of them, with a browser and every notebook
python tools/check.py quick    what tells in two minutes whether an edit broke something
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

BIN = Path(sys.executable).parent
STYLE = {"style": [BIN / "ruff", "check"], "format": [BIN / "ruff", "format", "--check"]}
SCRIPTS = {"javascript": [sys.executable, "tools/javascript.py"]}
BOOK = {"book": [BIN / "jupyter-book", "build", ".", "--all", "-W", "-n", "--keep-going", "-q"]}
# Whole files go to either process as it comes free, in the order given here: the long ones first.
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist=loadscope"]
PYTEST += ["--no-loadscope-reorder", "-p", "no:cacheprovider"]
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with=tests/nbval.cfg"]
LONG = ["notebooks", "tests/book", "tests/explorers", "tests/scale", "tests/checkpoints"]
QUICK = ["train", "data", "studies", "core", "models", "analysis", "chapters"]
# One stage after another, and what a stage holds side by side. Some tests open the book.
ALL = [[STYLE | SCRIPTS, BOOK], [{"tests": [*PYTEST, *NBVAL, *LONG, "tests"]}]]
SOON = [[STYLE], [{"tests": [*PYTEST, "-m", "not slow", *(f"tests/{room}" for room in QUICK)]}]]


@dataclass
class Done:
    """A check that was run: its name, its exit status, how long it took, and its lines."""

    name: str
    status: int
    seconds: float
    lines: list[str]

    def __str__(self) -> str:
        # pytest's last line counts what it ran; the other checks need no more than a verdict.
        count = self.lines[-1].strip("= ") if self.name == "tests" and self.lines else ""
        verdict = "passed" if self.status == 0 else "FAILED"
        return f"{self.name:<10} {verdict}  {self.seconds:4.0f} s  {count}"


def run(checks: dict[str, list[str | Path]], show: bool) -> list[Done]:
    """Run checks one after another; show their lines as they come, or each check's at its end."""
    done = []
    for name, command in checks.items():
        start, lines = time.monotonic(), []
        with subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if show:
                    print(line, end="", flush=True)
        if not show:
            print(f"\n== {name} ==", *lines, sep="\n", flush=True)
        done.append(Done(name, process.returncode, time.monotonic() - start, lines))
    return done


def main(words: list[str]) -> int:
    """Run all checks, or the quick ones; 0 only if all pass."""
    if words not in ([], ["quick"]):
        print(__doc__, file=sys.stderr)
        return 2
    done = []
    for stage in SOON if words else ALL:
        alone = [len(stage) == 1] * len(stage)
        with ThreadPoolExecutor() as pool:
            done += chain.from_iterable(pool.map(run, stage, alone))
    lines = [line.strip() for each in done for line in each.lines]
    skipped = [line for line in lines if line.startswith(("SKIPPED", "XFAIL"))]
    print("\n== summary ==", *done, sep="\n")
    print(*(skipped or ["nothing was skipped or expected to fail"]), sep="\n")
    return int(any(each.status for each in done))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
