"""Fill a table, and be killed: the program behind `test_records`. Prints what it saw as JSON.

It imports everything once and forks a child for each attempt. Then it writes as no study should,
until a kill leaves a torn file, so that the test shows that it would see one.
"""

import ast
import gc
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from interrupted import child, ended

from mstlib.studies import records

CELLS, KILLS = 50, 20


def study(path, told):
    """Measure fifty cells; a line in the file `told` says that one has been stored."""
    sys.stdout = told.open("a")
    records.Table(path).fill(
        [{"cell": n, "recipe": "as it was"} for n in range(CELLS)],
        dict,
        lambda case: time.sleep(0.001) or {"square": case["cell"] ** 2, "losses": [0.1] * 40},
        progress=True,
    )


def in_halves(path, content):
    """Write as a plain program might, and be slow about it."""
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.001)
        file.write(content[len(content) // 2 :])


def stop(pid, folder, chance, duration):
    """Kill a child at a random moment, or while it writes; say whether it was in time."""
    moment, writing = time.monotonic() + chance.uniform(0, duration), chance.random() < 0.5
    while True:
        done, status = ended(pid)
        if done:
            assert status == 0, "an attempt failed"
            return False
        if time.monotonic() > moment and (not writing or any(folder.glob("*.partial"))):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True
        time.sleep(0.0002)


def kill(root, chance, kills):
    """Kill a study so often, and go on each time; report what was left."""
    report = dict.fromkeys(("kills", "torn", "lost", "untold", "unequal"), 0)
    root.mkdir()
    began, whole = time.monotonic(), root / "whole.json"
    assert os.waitpid(child(study, whole, root / "told"), 0)[1] == 0
    duration = time.monotonic() - began
    while report["kills"] < kills:
        folder = Path(tempfile.mkdtemp(dir=root))
        path, told = folder / "rows.json", folder / "told"
        told.touch()
        while stop(child(study, path, told), folder, chance, 0.5 * duration):
            report["kills"] += 1
            lines = told.read_text().splitlines(keepends=True)
            known = {ast.literal_eval(line)["cell"] for line in lines if line.endswith("\n")}
            try:
                stored = {row["cell"] for row in records.Table(path).read()}
            except ValueError:
                return report | {"torn": 1}
            report["lost"] += len(known - stored)
            report["untold"] = max(report["untold"], len(stored - known))
            told.write_text("".join(f"{{'cell': {cell}}}\n" for cell in stored))
        report["unequal"] += path.read_bytes() != whole.read_bytes()
    return report


def main(root, seed):
    gc.freeze()  # what there is now need not be looked through in every child
    chance = random.Random(seed)
    found = {"as it is": kill(root / "as it is", chance, KILLS)}
    records.write_whole = in_halves
    print(json.dumps(found | {"in halves": kill(root / "in halves", chance, KILLS)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
