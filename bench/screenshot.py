"""Take a picture for the README: `make bench NAME=screenshot ARGS="data/demo/report.html"`.

Of the page that `make bench NAME=dashboard ARGS="--output page.html"` keeps:
`ARGS="page.html --output docs/dashboard.png --top 0 --bottom 1800"`.
Needs Chromium or Chrome on the PATH.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


def main() -> None:
    """Photograph the page and save it small."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("page", type=Path)
    flags.add_argument("--output", type=Path, default=Path("docs/report.png"))
    flags.add_argument("--top", type=int, default=1980, help="first row of the page to show")
    flags.add_argument("--bottom", type=int, default=2945, help="last row of the page to show")
    args = flags.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"No browser found; install one of {', '.join(BROWSERS)}.")
    if not args.page.is_file():
        sys.exit(f"{args.page}: no such page. `make demo` writes data/demo/report.html.")
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "shot.png"
        subprocess.run(
            [browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size=1200,{args.bottom}",
             f"--screenshot={shot}", args.page.absolute().as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(shot) as image:
            part = image.convert("RGB").crop((0, args.top, image.width, args.bottom))
            part.quantize(192).save(args.output, optimize=True)
    print(f"{args.output}: {args.output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
