import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flora.command import guard, options, parser
from flora.errors import ConfigError, ContractError, StageError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StageError("x"), 1),
        (ConfigError("x"), 2),
        (ContractError("x"), 3),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device"), 1),
    ],
)
def test_exit_codes_are_those_of_the_design(error: BaseException, code: int) -> None:
    def body() -> None:
        raise error

    assert guard(body) == code


def test_an_error_of_ours_is_never_hidden() -> None:
    def body() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guard(body)


def test_flags_are_the_same_for_all(tmp_path: Path) -> None:
    flags = ["--data", "here", "--limit", "1e3", "--set", "a.b=1", "--set", "a.c=2"]
    found = options(parser("test", "A test.").parse_args(flags))
    assert (found.data, found.limit, found.sets) == (
        Path("here").absolute(),
        1000,
        ("a.b=1", "a.c=2"),
    )
    with pytest.raises(SystemExit):
        parser("test", "A test.").parse_args(["--limit", "0"])


def test_a_stage_that_make_started_ends_with_make() -> None:
    child = (
        "import os, time; from flora.command import guard\n"
        "guard(lambda: (print(os.getpid(), flush=True), time.sleep(60)))"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    make = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "MAKELEVEL": "1"},
    )
    assert make.stdout is not None
    pid = int(make.stdout.readline())
    make.send_signal(signal.SIGKILL)
    make.wait()
    make.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
