"""One rank: `python -m train.rank`, started by the launcher, its job pickled on standard input.

It answers on standard output with one line of JSON: what it found, or the error that ended it.
"""

import json
import os
import pickle
import signal
import sys
import traceback
from typing import Any

from flora.command import end_with_parent
from flora.errors import FloraError
from train.job import Job, Stopped, listen


def main() -> None:
    """Do the job, and answer."""
    end_with_parent(signal.SIGKILL)
    listen()
    answer, sys.stdout = sys.stdout, sys.stderr  # nothing else may speak there
    try:
        result = work(pickle.load(sys.stdin.buffer))
    except (FloraError, Stopped) as error:
        _leave(answer, {"error": type(error).__name__, "text": str(error)})
    except Exception:
        _leave(answer, {"error": "", "text": traceback.format_exc()[-4000:]})
    json.dump({"result": result}, answer)


def work(job: Job) -> dict[str, Any]:
    """Do this process's part of *job*, among the ranks that its environment tells of."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or it is not deterministic
    # Imported late: the parent's end is watched for during the seconds that torch takes.
    import torch

    from train import world
    from train.data import Shards
    from train.evaluate import evaluate
    from train.loop import Trainer

    here = world.join()
    # The workers that decode want cores, too: threads without one keep all the others waiting.
    torch.set_num_threads(max(1, torch.get_num_threads() - job.settings.data_workers))
    torch.use_deterministic_algorithms(here.device.type == "cpu" or job.settings.deterministic)
    # A debugging aid, and slow:
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    shards = Shards(job.shards, job.limit)
    try:
        if job.task == "train":
            result = Trainer(job, shards, here).run()
        else:
            result = evaluate(job, shards, here)
    except Stopped:  # all ranks did, at the same step
        # srun ends the others when the first has left; they are to leave with their own code.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        world.leave()
        raise
    world.leave()
    return result


def _leave(answer: Any, words: dict[str, str]) -> None:
    """Answer and go, without waiting for ranks that wait for us."""
    json.dump(words, answer)
    answer.flush()
    os._exit(1)


if __name__ == "__main__":
    main()
