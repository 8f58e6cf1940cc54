"""The few big files: checklists, manifests, weights. Resumed after a break, never half-named."""

import contextlib
import fnmatch
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests

from flora.errors import StageError
from flora.ledger import publish

_CHUNK = 2**16
_TRIES = 5
_TIMEOUT = (15, 60)  # to connect, between two reads


def download(
    address: str, path: Path, *, user_agent: str, connect_to: Mapping[str, str] | None = None
) -> Path:
    """Bring *address* to *path* (a local path is used where it lies) and return where it is.

    A broken connection goes on where it stopped, if the server still has the same file (its
    ETag says so). *connect_to* maps host patterns to ip:port, for plain http. Raises StageError.
    """
    if "://" not in address:
        local = Path(address)
        if not local.is_file():
            raise StageError(f"{address}: no such file.")
        return local
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    url, headers = _connect(address, connect_to or {})
    headers["User-Agent"] = user_agent
    part = path.with_name(f".{path.name}.part")
    why: object = ""
    for attempt in range(_TRIES):
        try:
            _fetch(url, headers, part)
            with publish(path) as draft:
                part.replace(draft)
            return path
        except requests.RequestException as error:
            why = error
            status = error.response.status_code if error.response is not None else 0
            if 400 <= status < 500 and status not in (408, 416, 429):
                break  # asking again changes nothing
            time.sleep(attempt)
    raise StageError(f"{address} cannot be downloaded ({why}). The same command goes on.")


def _fetch(url: str, headers: Mapping[str, str], part: Path) -> None:
    """Bring the rest of *url* to *part*; the ETag of its beginning lies beside it."""
    mark = part.with_suffix(".etag")
    etag = mark.read_text() if mark.is_file() and part.is_file() else ""
    extra = {}
    if etag:
        extra = {"Range": f"bytes={part.stat().st_size}-", "If-Range": etag}
    with requests.get(url, headers={**headers, **extra}, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == 416:  # nothing is left to bring, or the file is another one now
            part.unlink()
        answer.raise_for_status()
        mark.write_text(answer.headers.get("ETag", ""))
        with part.open("ab" if answer.status_code == 206 else "wb") as out:
            shutil.copyfileobj(_Body(answer), out, _CHUNK)
        expected = answer.headers.get("Content-Length")
    if expected is None or "Content-Encoding" in answer.headers:
        return
    start = int(answer.headers.get("Content-Range", "bytes 0-").split()[1].split("-")[0])
    if part.stat().st_size != start + int(expected):
        raise requests.ConnectionError("the connection broke off")
    with contextlib.suppress(OSError):
        mark.unlink()


class _Body:
    """An answer's body as a file to copy from."""

    def __init__(self, answer: requests.Response) -> None:
        self._chunks = answer.iter_content(_CHUNK)

    def read(self, _size: int = -1) -> bytes:
        return next(self._chunks, b"")


def _connect(address: str, connect_to: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the URL to ask and the Host header that keeps its name."""
    parts = urlsplit(address)
    for pattern, target in connect_to.items():
        if fnmatch.fnmatch(parts.hostname or "", pattern) and parts.scheme == "http":
            return parts._replace(netloc=target).geturl(), {"Host": parts.netloc}
    return address, {}
