"""A run under SLURM: its batch script, its way into the queue, a task's place among the others.

The script asks for its own requeue when the time limit nears, so a recipe that takes longer than
one job may last goes on by itself until it is done.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from flora.command import Options
from flora.config import digest
from flora.console import say
from flora.errors import ConfigError, StageError
from flora.ledger import publish
from flora.slurm import SlurmSettings
from train.job import Job
from train.launch import MEMORY

REQUEUES = 3
"""Requeues without a step of progress after which a run gives up."""

_BODY = """\
# SLURM asks this shell to stop two minutes before the time limit, or one sooner. The ranks agree on
# a step, write a checkpoint and leave with code 75; the job goes back to the queue, and on from
# there. Ranks that do not make it in 90 seconds lose what came after their last checkpoint.
asked= last=
stop() {
  asked=yes
  kill -USR1 "$ranks"
  (sleep 90 && kill -KILL "$ranks") 2> /dev/null & last=$!
}
trap stop USR1
start &
ranks=$!
until wait "$ranks"; code=$?; ! kill -0 "$ranks" 2> /dev/null; do :; done
[ -z "$last" ] || kill "$last" 2> /dev/null
if [ "$code" -eq 75 ] || { [ "$code" -ne 0 ] && [ -n "$asked" ]; }; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def submit(job: Job, options: Options, gpus: int | None, nodes: int) -> None:
    """Write the batch script of *job* into its folder and hand it to SLURM.

    Raises ConfigError where sbatch refuses it.
    """
    path = job.folder / f"{job.task}.sbatch"
    with publish(path) as draft:
        draft.write_text(script(job, options, gpus, nodes), encoding="utf-8")
    done = subprocess.run(["sbatch", "--parsable", str(path)], capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(
            f"sbatch refuses {path}: {done.stderr.strip()}. "
            "Partition, account, time and further lines are in flora.toml, [cluster.slurm]."
        )
    number = done.stdout.strip().partition(";")[0]
    say(f"{job.task}: {path} is SLURM's job {number}; it writes {_log(job)}.")


def script(job: Job, options: Options, gpus: int | None, nodes: int) -> str:
    """Return the batch script that does *job* on *nodes*, whose ranks are given the same flags.

    A node has a rank for each of its *gpus*, or else as many as train.ranks says, or one.
    Raises ConfigError for weights that only the internet has.
    """
    from flora.cluster import ClusterSettings  # here, as Dask takes its time to import

    if job.settings.start == "hub":
        raise ConfigError(
            'train.weights is "hub", but a cluster\'s nodes have no internet. Bring them first: '
            f"python -m train weights {job.settings.backbone}, then give the file."
        )
    settings = options.settings("cluster", ClusterSettings).slurm
    lines = [f"#SBATCH {line}" for line in _header(job, gpus, nodes, settings)]
    lines += [f"export {name}={value}" for name, value in _exports(gpus, settings).items()]
    flags = ["--data", str(options.data), "--run", job.folder.name]
    flags += ["--config", str(options.config.absolute())] if options.config else []
    flags += [f"--set={text}" for text in options.sets]
    flags += ["--limit", str(options.limit)] if options.limit else []
    flags += ["--gpus", str(gpus)] if gpus is not None else []
    flags += job.trial.flags() if job.task == "evaluate" else []
    command = shlex.join([sys.executable, "-m", "train", *flags, job.task])
    start = f"start() {{ exec srun --kill-on-bad-exit=1 --label {command}; }}"
    return "\n".join(["#!/bin/bash", *lines, start, "", _BODY])


def _header(job: Job, gpus: int | None, nodes: int, settings: SlurmSettings) -> list[str]:
    asked = {
        "job-name": f"flora-{job.task}-{job.folder.name}-{digest(str(job.folder))[:6]}",
        "dependency": "singleton",  # the same command twice: the second job finds it done
        "nodes": nodes,
        "ntasks-per-node": gpus or job.settings.ranks or 1,
        "gpus-per-node": gpus,
        "partition": settings.partition,
        "account": settings.account,
        "time": settings.time,
        "chdir": Path.cwd(),
        "output": _log(job),
        "open-mode": "append",
        "signal": "B:USR1@120",
    }
    options = [f"--{name}={shlex.quote(str(value))}" for name, value in asked.items() if value]
    return [*options, "--requeue", *settings.lines]


def _exports(gpus: int | None, settings: SlurmSettings) -> dict[str, str]:
    exports = {
        "OMP_NUM_THREADS": "${SLURM_CPUS_PER_TASK:-1}",
        "SRUN_CPUS_PER_TASK": "${SLURM_CPUS_PER_TASK:-1}",  # srun no longer takes the other
        **MEMORY,
    }
    if gpus == 0:
        exports["CUDA_VISIBLE_DEVICES"] = ""
    if settings.interface:
        exports |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), settings.interface)
    return exports


def _log(job: Job) -> Path:
    """Return the file that a job writes, over all its requeues."""
    return job.folder / f"{job.task}.log"


def adopt() -> None:
    """Put what srun says of this process into torchrun's variables: rank, ranks, the first node.

    Nothing happens where torchrun has spoken, or to a task that is alone.
    """
    env = os.environ
    if "RANK" in env or int(env.get("SLURM_STEP_NUM_TASKS", 1)) < 2:
        return
    command = ["scontrol", "show", "hostnames", env["SLURM_STEP_NODELIST"]]
    nodes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    # All tasks must come to the same port without a word, and another job's tasks to another.
    parts = [env.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID", "RESTART_COUNT")]
    env.setdefault("MASTER_ADDR", nodes[0])
    env.setdefault("MASTER_PORT", str(20_000 + int(digest(parts), 16) % 10_000))
    env.update(
        RANK=env["SLURM_PROCID"],
        WORLD_SIZE=env["SLURM_STEP_NUM_TASKS"],
        LOCAL_RANK=env["SLURM_LOCALID"],
    )


def check_progress(folder: Path) -> None:
    """Write down from where a job starts. Raises StageError if its requeues get it nowhere."""
    if "SLURM_JOB_ID" not in os.environ:
        return
    path = folder / "starts.json"
    again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0 and path.is_file()
    starts: list[int] = json.loads(path.read_text(encoding="utf-8")) if again else []
    starts.append(_steps(folder / "checkpoints"))
    with publish(path) as draft:
        draft.write_text(json.dumps(starts) + "\n", encoding="utf-8")
    if len(starts) > REQUEUES and len(set(starts[-REQUEUES - 1 :])) == 1:
        raise StageError(
            f"{folder}: no progress over {REQUEUES} requeues; all began at step {starts[-1]}. "
            "Raise cluster.slurm.time, or lower train.checkpoint_seconds, and submit it again."
        )


def _steps(checkpoints: Path) -> int:
    """Return how many steps the newest checkpoint holds; their names begin with that."""
    found = [re.match(r"\d+", path.name) for path in checkpoints.glob("[!.]*")]
    return max((int(match[0]) for match in found if match), default=0)
