"""How long the demo takes, how much memory, and what it finds: `make bench NAME=demo`.

Memory is the proportional set size (each shared page divided by those who share it) of the
whole family of processes, looked at once a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.memory import together


def main() -> None:
    """Run the demo in a folder of its own, watching it; the arguments go to the demo."""
    flags = argparse.ArgumentParser(description=__doc__, add_help=False)
    _, rest = flags.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "demo"
        start, peak = time.monotonic(), 0
        process = subprocess.Popen([sys.executable, "-m", "demo", "--data", str(data), *rest])
        while process.poll() is None:
            peak = max(peak, together(process.pid))
            time.sleep(1)
        if process.returncode:
            sys.exit(process.returncode)
        found = json.loads((data / "truth.json").read_text(encoding="utf-8"))
        figures = {
            "seconds": round(time.monotonic() - start, 1),
            "peak_gib": round(peak / 2**30, 2),
            **{goal["what"]: goal["value"] for goal in found["goals"]},
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
