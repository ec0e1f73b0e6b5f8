#!/usr/bin/env python3
"""Measure the short commands: an unchanged bake, and `--list` compared with plain Invoke and one empty task.

Run it in a checkout whose recipe is baked: python benchmarks/commands.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds(argv: list[str], cwd: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    python = ROOT / ".venv/bin/python"
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "tasks.py").write_text("from invoke import task\n\n@task\ndef nothing(_):\n    pass\n")
        goldenami, plain = [], []
        for _ in range(10):  # alternating, so that load affects both
            goldenami.append(seconds(["./invoke", "--list"], ROOT))
            plain.append(seconds([str(python), "-m", "invoke", "--list"], Path(empty)))
    ratio = statistics.median(goldenami) / statistics.median(plain)
    print(
        f"--list: {statistics.median(goldenami):.2f} s, plain Invoke {statistics.median(plain):.2f} s, ratio {ratio:.2f}"
    )
    unchanged = [seconds(["./invoke", "bake"], ROOT) for _ in range(5)]
    print(f"unchanged bake: median {statistics.median(unchanged):.2f} s, worst {max(unchanged):.2f} s")
    sys.exit(0 if ratio <= 1.5 and statistics.median(unchanged) <= 3 else 1)


if __name__ == "__main__":
    main()
