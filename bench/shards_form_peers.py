"""The peers of bench/shards_form.py, run by the Python of a virtual environment of their own.

`python shards_form_peers.py FOLDER SIDE QUALITY` reads the JPEGs of FOLDER into memory. Then each
line of its input names a peer; it answers with the CPU-seconds for all of them, and the bytes they
became.
"""

import io
import sys
import time
from pathlib import Path


def img2dataset(side, quality):
    """Its resizer, as its downloader calls it: the shorter side becomes *side* if it is more."""
    from img2dataset.resizer import Resizer

    resizer = Resizer(side, "keep_ratio", resize_only_if_bigger=True, encode_quality=quality)
    return lambda data: resizer(io.BytesIO(data))[0]


def opencv(side, quality):
    """What img2dataset is made of, with the options that our files have: area, then encode."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1,
               cv2.IMWRITE_JPEG_RST_INTERVAL, 1]  # fmt: skip

    def way(data):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        by = side / min(height, width)
        size = round(width * by), round(height * by)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cv2.imencode(".jpg", image, options)[1]

    return way


def mozjpeg(_side, _quality):
    """Lossless: tables made to measure, and progressive, which is all it can."""
    import mozjpeg_lossless_optimization

    return mozjpeg_lossless_optimization.optimize


def main():
    """Serve."""
    folder, side, quality = sys.argv[1:]
    pictures = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    ways = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ways:
            peer = {"img2dataset": img2dataset, "opencv": opencv, "mozjpeg": mozjpeg}[name]
            ways[name] = peer(int(side), int(quality))
            ways[name](pictures[0])
        start, size = time.process_time(), 0
        for data in pictures:
            size += len(ways[name](data))
        print(time.process_time() - start, size, flush=True)


if __name__ == "__main__":
    main()
