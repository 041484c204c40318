"""Check the explorers' scripts: ESLint, and the tests of tests/js with Node's own runner.

    python tools/javascript.py [lint] [test]    both, if neither is named
    python tools/javascript.py lock             choose the newest versions, and pin them

Node is not needed to build or to read the book. Where it is missing or too old, or where ESLint can
not be installed, a line that begins with SKIPPED says so, and nothing fails.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = 20
# One try: a machine without a network shall not wait for it.
NPM = ["--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--loglevel=error"]


def missing_node() -> str:
    """Why Node cannot be used here; empty if it can."""
    if shutil.which("node") is None:
        return "Node is not on this machine"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    found = re.match(r"v(\d+)\.", version)
    if not found or int(found[1]) < OLDEST:
        return f"Node {OLDEST} or newer is needed, not {version or 'one that names no version'}"
    return ""


def install(root: Path) -> str:
    """Install what package-lock.json names, unless it is there; why that failed, empty if not."""
    lock = hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()
    stamp = root / "node_modules" / ".ready"
    if stamp.exists() and stamp.read_text() == lock:
        return ""
    if shutil.which("npm") is None:
        return "npm is not on this machine"
    try:
        subprocess.run(["npm", "ci", *NPM], cwd=root, check=True, timeout=120)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return "`npm ci` failed (it needs a package registry)"
    stamp.write_text(lock)
    return ""


def lint(root: Path) -> int:
    """Run ESLint on every script; its exit status, 0 where it cannot be installed."""
    if reason := install(root):
        print(f"SKIPPED [eslint] {reason}", flush=True)
        return 0
    return subprocess.run(["node", "node_modules/eslint/bin/eslint.js", "."], cwd=root).returncode


def test(root: Path) -> int:
    """Run the tests of tests/js; the runner's exit status."""
    files = sorted(str(path.relative_to(root)) for path in root.glob("tests/js/*.test.mjs"))
    return subprocess.run(["node", "--test", *files], cwd=root).returncode


def lock(root: Path) -> int:
    """Pin the newest versions that package.json allows, without an address of any kind."""
    path = root / "package-lock.json"
    path.unlink(missing_ok=True)
    command = ["npm", "install", "--package-lock-only", "--omit-lockfile-registry-resolved"]
    status = subprocess.run([*command, *NPM], cwd=root).returncode
    if status == 0:
        pinned = json.loads(path.read_text(encoding="utf-8"))
        for package in pinned["packages"].values():
            package.pop("funding", None)
        path.write_text(json.dumps(pinned, indent=2) + "\n", encoding="utf-8")
    return status


STEPS = {"lint": lint, "test": test, "lock": lock}


def main(names: list[str], root: Path = ROOT) -> int:
    """Take the named steps, all of them even if one fails; 0 only if all succeed."""
    if unknown := set(names) - set(STEPS):
        print(f"steps are {', '.join(STEPS)}, not {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if reason := missing_node():
        print(f"SKIPPED [javascript] {reason}", flush=True)
        return 0
    return int(any([STEPS[name](root) for name in names or ("lint", "test")]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
