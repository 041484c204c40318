"""Run every check of the project, all of them even if one fails, and sum up at the end.

Usage: python tools/check.py [quick]

`quick` runs what takes no browser and no notebook: style, and the tests of the ideas, the networks,
the data, training, measures, studies and checkers.
"""

import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadscope"]
STYLE = {"style": [BIN / "ruff", "check"], "format": [BIN / "ruff", "format", "--check"]}
ROOMS = ("core", "models", "data", "train", "analysis", "studies", "chapters/test_exercises.py")
QUICK = STYLE | {"tests": [*PYTEST, "-m", "not slow", *(f"tests/{room}" for room in ROOMS)]}
# The book comes before the tests, because some of them open it in a browser.
CHECKS = STYLE | {
    "javascript": [sys.executable, "tools/javascript.py"],
    "book": [BIN / "jupyter-book", "build", ".", "--all", "-W", "-n", "--keep-going", "-q"],
    "tests": [*PYTEST, "tests"],
    "notebooks": [
        *PYTEST,
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with=tests/nbval.cfg",
        "-p",
        "no:cacheprovider",
        "notebooks",
    ],
}


def run(command: list[str | Path]) -> tuple[int, list[str]]:
    """Run a command, show its output as it comes, and return its exit status and its lines."""
    lines = []
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    return process.returncode, lines


def main(checks: dict[str, list[str | Path]]) -> int:
    """Run some checks; 0 only if all pass."""
    summary, skipped, failed = [], [], False
    for name, command in checks.items():
        print(f"\n== {name} ==", flush=True)
        start = time.monotonic()
        status, lines = run(command)
        failed |= status != 0
        skipped += [line for line in lines if line.startswith(("SKIPPED", "XFAIL"))]
        # pytest's last line counts what it ran; the other checks need no more than a verdict.
        count = lines[-1].strip("= ") if "pytest" in command and lines else ""
        verdict = "passed" if status == 0 else "FAILED"
        summary.append(f"{name:<10} {verdict}  {time.monotonic() - start:4.0f} s  {count}")
    print("\n== summary ==", *summary, sep="\n")
    print(*(skipped or ["nothing was skipped or expected to fail"]), sep="\n")
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["quick"]):
        raise SystemExit(__doc__)
    raise SystemExit(main(QUICK if sys.argv[1:] else CHECKS))
