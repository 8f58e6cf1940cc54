"""How fast and how lean a checklist is read: `python bench/checklist.py PATH`.

Three runs, each in a process of its own, so that its peak of memory is its own too. Then the
tables are loaded, and names are looked up in them.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS = 3
LOOKUPS = 10_000
USAGE = """\
usage: python bench/checklist.py PATH   (make bench NAME=checklist CHECKLIST=PATH)
PATH is ThePlantList 1.1, World Flora Online's classification.csv or WCVP's wcvp_names.csv."""


def build(source: str, folder: str) -> dict[str, Any]:
    """Read the list once."""
    from flora import taxa  # only here: a child begins with the peak of its parent

    start = time.perf_counter()
    built = taxa.build(Path(source), Path(folder))
    return {
        "names": built.names,
        "accepted_species": built.accepted_species,
        "seconds": time.perf_counter() - start,
    }


def look_up(source: str, folder: str) -> dict[str, Any]:
    """Load the tables and find every n-th accepted name, as written and with a letter lost."""
    from flora.taxa import Checklist

    start = time.perf_counter()
    checklist = Checklist.load(Path(folder))
    loaded = time.perf_counter() - start
    names = checklist.species["name"]
    some = names.take(list(range(0, len(names), max(1, len(names) // LOOKUPS)))).to_pylist()
    start = time.perf_counter()
    checklist.lookup(some)
    found = (time.perf_counter() - start) / len(some)
    wrong = [name[:-3] + name[-2:] for name in some[:: max(1, len(some) // 100)]]
    checklist.find(wrong[0])  # gathers the genera, once
    start = time.perf_counter()
    checklist.lookup(wrong)
    return {
        "seconds": loaded,
        "find_us": 1e6 * found,
        "misspelt_ms": 1e3 * (time.perf_counter() - start) / len(wrong),
    }


def apart(work: Callable[[str, str], dict[str, Any]], source: str, folder: str) -> dict[str, Any]:
    """Do *work* in a fresh process; add its peak of memory."""
    command = [sys.executable, __file__, work.__name__, source, folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def child(work: Callable[[str, str], dict[str, Any]], source: str, folder: str) -> None:
    """Print what *work* gives, and the peak of memory in GiB."""
    from flora.errors import FloraError

    try:
        result = work(source, folder)
    except FloraError as error:
        sys.exit(f"error: {error}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**result, "peak_gib": peak}))


def main(arguments: list[str]) -> None:
    """Run, and print a table and one JSON object."""
    if len(arguments) != 1:
        sys.exit(USAGE)
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'run':>6} {'names':>10} {'accepted':>10} {'seconds':>8} {'peak GiB':>9}")
        for number in range(1, RUNS + 1):
            run = apart(build, arguments[0], f"{folder}/{number}")
            runs.append(run)
            print(
                f"{number:>6} {run['names']:>10,} {run['accepted_species']:>10,} "
                f"{run['seconds']:>8.2f} {run['peak_gib']:>9.2f}"
            )
        use = apart(look_up, arguments[0], f"{folder}/1")
    print(
        f"loaded in {use['seconds']:.2f} s, peak {use['peak_gib']:.2f} GiB; a name is found in "
        f"{use['find_us']:.0f} µs, a misspelt one answered in {use['misspelt_ms']:.0f} ms"
    )
    figures = {
        "accepted_species": runs[0]["accepted_species"],
        "seconds": round(statistics.median(run["seconds"] for run in runs), 2),
        "peak_gib": round(statistics.median(run["peak_gib"] for run in runs), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] in (build.__name__, look_up.__name__):
        child({"build": build, "look_up": look_up}[sys.argv[1]], sys.argv[2], sys.argv[3])
    else:
        main(sys.argv[1:])
