"""The ranks of a run: started on this machine, or by srun or torchrun, which this process is of."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from flora import errors
from flora.errors import ConfigError, StageError
from train import rank
from train.config import TrainSettings
from train.job import Job, Stopped, is_asked_to_stop

_LOOPBACK = "127.0.0.1"
_PERIOD = 0.1
_LAST_WORDS = 1.0
"""Seconds that other ranks get to speak once one has died: it may not have been the first."""

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}
"""Has a rank keep freed tensors, instead of giving their pages back to the kernel and having them
zeroed anew at every step: more than halves the system time (glibc; others ignore it)."""

Rank = subprocess.Popen[bytes]


def is_rank() -> bool:
    """Tell whether srun or torchrun started this process as one of its ranks."""
    return "RANK" in os.environ


def is_first() -> bool:
    """Tell whether the run's folder is this process's to keep: one of the ranks, or a launcher."""
    return os.environ.get("RANK", "0") == "0"


def devices(
    settings: TrainSettings, gpus: int | None, nodes: int | None = None
) -> tuple[int, bool]:
    """Return how many ranks there are, and whether on GPUs: those of *nodes*, all on this machine.

    Raises ConfigError for more GPUs (*gpus* on each node) than there are.
    """
    if is_rank():
        return int(os.environ["WORLD_SIZE"]), gpus != 0 and torch.cuda.is_available()
    here, parts = torch.cuda.device_count(), nodes or 1
    each = here // parts if gpus is None else gpus
    if each * parts > here:
        times = f" on each of {nodes} nodes" if nodes else ""
        raise ConfigError(
            f"--gpus {gpus}{times}: this machine has {here}. Leave the flag out to use all."
        )
    if each:
        return each * parts, True
    return parts * (settings.ranks or (1 if nodes else min(2, _cores()))), False


def run(job: Job, ranks: int, *, cuda: bool) -> dict[str, Any]:
    """Do *job* with *ranks* processes; return what the first of them answers.

    A rank that fails ends them all: raises its FloraError, or StageError if it died otherwise.
    Raises Stopped where SIGUSR1 asked for it. Of srun's or torchrun's ranks, this process is one.
    """
    if is_rank():
        return _take_part(job, cuda=cuda)
    # Kept by us, who outlive the ranks, and on a port that no other program can take meanwhile.
    store = TCPStore(_LOOPBACK, 0, is_master=True, wait_for_workers=False)
    started: list[Rank] = []
    try:
        for number in range(ranks):
            started.append(_start(job, number, ranks, store.port, cuda=cuda))
        return _wait(started)
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _take_part(job: Job, *, cuda: bool) -> dict[str, Any]:
    if not cuda:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        return rank.work(job)
    except (errors.FloraError, Stopped):
        raise
    except Exception as error:
        time.sleep(_LAST_WORDS)
        name = f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}"
        raise StageError(f"{name} failed:\n{traceback.format_exc()[-4000:]}") from error


def _start(job: Job, number: int, ranks: int, port: int, *, cuda: bool) -> Rank:
    env = {
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": _LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is ours: rank 0 is to make none
        "OMP_NUM_THREADS": str(max(1, _cores() // ranks)),
        "GLOO_SOCKET_IFNAME": "lo",
        **MEMORY,
    }
    if not cuda:
        env["CUDA_VISIBLE_DEVICES"] = ""
    process = subprocess.Popen(
        [sys.executable, "-m", "train.rank"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is ours alone to hear
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:  # dead already: `_wait` will tell
        process.stdin.write(pickle.dumps(job))
    return process


def _wait(ranks: list[Rank]) -> dict[str, Any]:
    told = False
    while any(each.poll() is None for each in ranks):
        if any(each.returncode for each in ranks):
            time.sleep(_LAST_WORDS)
            break
        if is_asked_to_stop() and not told:
            told = True
            for each in ranks:
                each.send_signal(signal.SIGUSR1)
        time.sleep(_PERIOD)
    if any(each.poll() for each in ranks):
        raise _failure(ranks)
    result: dict[str, Any] = _answer(ranks[0])["result"]
    return result


def _failure(ranks: list[Rank]) -> Exception:
    """Return the error of the rank that tells most: others only say that they were left alone."""
    dead = {number: each for number, each in enumerate(ranks) if each.returncode}
    answers = {number: _answer(each) for number, each in dead.items()}
    kinds: dict[str, type[Exception]] = {**vars(errors), "Stopped": Stopped}
    for answer in answers.values():
        if answer.get("error"):
            return kinds[answer["error"]](answer["text"])
    for number, each in dead.items():
        if not answers[number]:
            how = f"signal {-each.returncode}" if each.returncode < 0 else f"code {each.returncode}"
            return StageError(
                f"rank {number} of {len(ranks)} ended with {how}; memory may have run out. "
                "The same command goes on from the last checkpoint."
            )
    number, answer = next(iter(answers.items()))
    return StageError(f"rank {number} of {len(ranks)} failed:\n{answer['text']}")


def _answer(process: Rank) -> dict[str, Any]:
    text = process.stdout.read() if process.stdout else b""
    answer: dict[str, Any] = json.loads(text) if text else {}
    return answer


def _cores() -> int:
    return len(os.sched_getaffinity(0))
