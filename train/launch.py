"""Ranks on this machine: one a GPU, or a few processes that share the cores."""

import json
import os
import pickle
import subprocess
import sys
import time
from typing import Any

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from flora import errors
from flora.errors import ConfigError, StageError
from train.config import TrainSettings
from train.job import Job

_LOOPBACK = "127.0.0.1"
_PERIOD = 0.1
_LAST_WORDS = 1.0
"""Seconds that other ranks get to speak once one has died: it may not have been the first."""

Rank = subprocess.Popen[bytes]


def devices(settings: TrainSettings, gpus: int | None) -> tuple[int, bool]:
    """Return how many ranks to start, and whether on GPUs. Raises ConfigError for too many GPUs."""
    here = torch.cuda.device_count()
    if gpus is not None and gpus > here:
        raise ConfigError(f"--gpus {gpus}: this machine has {here}. Leave the flag out to use all.")
    count = here if gpus is None else gpus
    return (count, True) if count else (settings.ranks or min(2, _cores()), False)


def run(job: Job, ranks: int, *, cuda: bool) -> dict[str, Any]:
    """Do *job* with *ranks* processes; return what the first of them answers.

    A rank that fails ends them all: raises its FloraError, or StageError if it died otherwise.
    """
    # Kept by us, who outlive the ranks, and on a port that no other program can take meanwhile.
    store = TCPStore(_LOOPBACK, 0, is_master=True, wait_for_workers=False)
    started: list[Rank] = []
    try:
        for rank in range(ranks):
            started.append(_start(job, rank, ranks, store.port, cuda=cuda))
        return _wait(started)
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def _start(job: Job, rank: int, ranks: int, port: int, *, cuda: bool) -> Rank:
    env = {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": _LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is ours: rank 0 is to make none
        "OMP_NUM_THREADS": str(max(1, _cores() // ranks)),
        "GLOO_SOCKET_IFNAME": "lo",
        # Keep freed tensors, instead of giving their pages back to the kernel and having them
        # zeroed anew at every step: more than halves the system time (glibc; others ignore it).
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**31),
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
    with process.stdin:
        process.stdin.write(pickle.dumps(job))
    return process


def _wait(ranks: list[Rank]) -> dict[str, Any]:
    while any(rank.poll() is None for rank in ranks):
        if any(rank.returncode for rank in ranks):
            time.sleep(_LAST_WORDS)
            break
        time.sleep(_PERIOD)
    if any(rank.poll() for rank in ranks):
        raise _failure(ranks)
    result: dict[str, Any] = _answer(ranks[0])["result"]
    return result


def _failure(ranks: list[Rank]) -> Exception:
    """Return the error of the rank that tells most: others only say that they were left alone."""
    dead = {number: rank for number, rank in enumerate(ranks) if rank.returncode}
    answers = {number: _answer(rank) for number, rank in dead.items()}
    for answer in answers.values():
        if answer.get("error"):
            kind: type[Exception] = getattr(errors, answer["error"])
            return kind(answer["text"])
    for number, rank in dead.items():
        if not answers[number]:
            how = f"signal {-rank.returncode}" if rank.returncode < 0 else f"code {rank.returncode}"
            return StageError(
                f"rank {number} of {len(ranks)} ended with {how}; memory may have run out. "
                "The same command goes on from the last checkpoint."
            )
    number, answer = next(iter(answers.items()))
    return StageError(f"rank {number} of {len(ranks)} failed:\n{answer['text']}")


def _answer(rank: Rank) -> dict[str, Any]:
    text = rank.stdout.read() if rank.stdout else b""
    answer: dict[str, Any] = json.loads(text) if text else {}
    return answer


def _cores() -> int:
    return len(os.sched_getaffinity(0))
