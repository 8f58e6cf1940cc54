"""How long the report over 12 million pictures takes: `make bench NAME=report`.

    make bench NAME=report [ARGS="--rows 12000000 --data DIR"]

The tables are made up, in the schemas of the stages and with all their columns: listings,
plan, images (10,000 rows a table, 12% refused), verdicts with their clusters, near pairs, index,
classes, a run with its curves and its guesses for a twentieth of the pictures. Species are as
unequal as on the web (the n-th has pictures in proportion to 1 / (n + 100)). The pictures that
the page shows are read from real packs: drawn JPEGs of 0.3, 2 and 12 megapixels. `--data` keeps
them in a folder, which the next run finds.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report_data

SECONDS, GIB = 120, 6


def main() -> None:
    """Make the tables, have them reported, see how long it took and what it needed."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rows", type=int, default=12_000_000)
    flags.add_argument("--data", type=Path, help="where the tables are, or shall be, and stay")
    args = flags.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as temporary:
        data, start = args.data or Path(temporary), time.monotonic()
        report_data.write(data, args.rows)
        print(f"{args.rows:,} rows made in {time.monotonic() - start:.0f} s", flush=True)
        page = Path(temporary) / "report.html"
        figures = measure([sys.executable, "-m", "report", "--data", str(data),
                           "--output", str(page)])  # fmt: skip
        figures |= {"rows": args.rows, "page_mib": round(page.stat().st_size / 2**20, 1)}
    for name, goal in (("seconds", SECONDS), ("peak_gib", GIB)):
        print(f"  {name:<12} {figures[name]:>8} (goal {goal})")
    print(json.dumps(figures), flush=True)
    sys.exit(figures["seconds"] > SECONDS or figures["peak_gib"] > GIB)


def measure(command: list[str]) -> dict[str, Any]:
    """Return the seconds of *command*, those of the processor, and its own peak memory."""
    start, peak = time.monotonic(), 0
    with subprocess.Popen(command) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            marks = re.search(r"VmHWM:\s*(\d+)", status.read_text())  # no peak is missed between
            peak = int(marks[1]) if marks else peak
            time.sleep(0.1)
    if process.returncode:
        sys.exit(process.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": round(time.monotonic() - start, 1), "peak_gib": round(peak / 2**20, 2),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 1)}  # fmt: skip


if __name__ == "__main__":
    main()
