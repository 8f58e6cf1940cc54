import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flora.download import download
from flora.errors import StageError

CONTENT = bytes(range(256)) * 20_000


class Server(ThreadingHTTPServer):
    asked: list[str | None]
    etag = '"one"'
    breaks = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path == "/gone":
            self.send_error(404)
            return
        start = 0
        if wanted and self.headers.get("If-Range") == self.server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.send_header("ETag", self.server.etag)
        self.end_headers()
        end = len(CONTENT)
        if self.server.breaks:
            self.server.breaks -= 1
            end = start + 2_000_000
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def bring(server: Server, tmp_path: Path, name: str = "big") -> Path:
    address = f"http://files.test/{name}"
    to = {"*.test": f"127.0.0.1:{server.server_address[1]}"}
    return download(address, tmp_path / "sub" / "big", user_agent="tests", connect_to=to)


def test_a_file_is_brought_once(server: Server, tmp_path: Path) -> None:
    assert bring(server, tmp_path).read_bytes() == CONTENT
    assert bring(server, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["big"]


def test_a_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    assert bring(server, tmp_path).read_bytes() == CONTENT
    starts = [int((asked or "bytes=0-").removeprefix("bytes=")[:-1]) for asked in server.asked]
    assert len(starts) == 3
    assert 1_900_000 < starts[1] <= 2_000_000 < 3_800_000 < starts[2] <= 4_000_000


def test_a_file_that_changed_meanwhile_begins_anew(server: Server, tmp_path: Path) -> None:
    server.breaks = 1
    part = tmp_path / "sub" / ".big.part"
    part.parent.mkdir()
    part.write_bytes(b"of another file")
    part.with_suffix(".etag").write_text('"another"')
    assert bring(server, tmp_path).read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_one_message(server: Server, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"/gone cannot be downloaded \(404"):
        bring(server, tmp_path, "gone")
    assert len(server.asked) == 1


def test_a_file_on_disk_is_used_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a.zip").touch()
    found = download(str(tmp_path / "a.zip"), tmp_path / "x", user_agent="tests")
    assert found == tmp_path / "a.zip"
    with pytest.raises(StageError, match="no such file"):
        download(str(tmp_path / "b.zip"), tmp_path / "x", user_agent="tests")
