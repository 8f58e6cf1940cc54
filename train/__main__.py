"""`python -m train`: trains a run. `python -m train evaluate`: tells what it is worth.

With `--nodes N` on a SLURM cluster; `srun` and `torchrun` may start the same command as ranks.
`python -m train weights NAME` brings the weights of a backbone, for nodes without internet;
`python -m train export` writes a trained model for timm, torch and ONNX.
"""

import argparse
import contextlib
import dataclasses
import os
import sys
from pathlib import Path

from flora import config
from flora.command import Options, guard, options, parser
from flora.console import say, show
from flora.ledger import Ledger, Receipt
from flora.slurm import is_here
from train import hub, launch, runs, slurm
from train.config import RECIPES
from train.examination import evaluate
from train.export import export
from train.job import STOPPED, Job, Stopped, listen
from train.trial import Trial, fusions, sources

__all__ = ["evaluate", "main", "train"]


def train(
    options: Options, run: str = "main", gpus: int | None = None, nodes: int | None = None
) -> None:
    """Train *run*: from its start, from where it was killed, or not at all if it is done.

    With *nodes*, on so many of a SLURM cluster, or of this machine where there is none.
    """
    job = runs.to_train(options, run)
    if options.dry_run:
        say(config.show(job.settings, "train"))
        state = "is done" if runs.is_trained(job) else runs.state(job)
        say(f"train: run {run} {state}; {_where(job, gpus, nodes)}.")
        if nodes:
            show(slurm.script(job, options, gpus, nodes))
        return
    if nodes and is_here() and not runs.is_trained(job):
        return slurm.submit(job, options, gpus, nodes)
    ledger, first = Ledger(job.folder), launch.is_first()
    with ledger.lock() if first else contextlib.nullcontext():
        if runs.is_trained(job):
            runs.tell(f"train: run {run} was trained before.")
            return
        if first:
            runs.prepare(job, run)
            slurm.check_progress(job.folder)
        if nodes:
            say(f"train: {_where(job, gpus, nodes)}.")
        ranks, cuda = launch.devices(job.settings, gpus, nodes)
        result = launch.run(job, ranks, cuda=cuda)
        if not first:
            return
        receipt = Receipt(
            unit="train",
            recipe=job.recipe,
            rows=result["images"],
            refused={"undecodable": result["undecodable"]} if result["undecodable"] else {},
            seconds=result["seconds"],
            finished_at=runs.now(),
            detail={
                "model": runs.file_digest(job.folder / "model.pt"),
                "ranks": ranks,
                "device": "cuda" if cuda else "cpu",
            },
        )
        ledger.write(receipt)


def _where(job: Job, gpus: int | None, nodes: int | None) -> str:
    """Say on what a run is trained."""
    if nodes and is_here():
        return f"a SLURM job of {nodes} nodes"
    ranks, cuda = launch.devices(job.settings, gpus, nodes)
    here = f"{ranks} {'GPUs' if cuda else 'processes'}"
    if not nodes:
        return here
    return f"there is no sbatch here, so {nodes} nodes are {here} of this machine, over loopback"


def main() -> int:
    """Read the flags and do what they say."""
    listen()
    flags = parser("train", "Train a classifier on the shards, or evaluate one.")
    tasks = ("train", "evaluate", "export", "weights")
    flags.add_argument("task", nargs="?", choices=tasks, default="train")
    flags.add_argument("name", nargs="?", help="weights: the backbone, as timm names it")
    flags.add_argument("--run", default="main", metavar="NAME", help="name of the run (main)")
    flags.add_argument("--gpus", type=int, metavar="G", help="GPUs to use (all; 0 for none)")
    flags.add_argument("--nodes", type=int, metavar="N", help="nodes, each with so many GPUs")
    flags.add_argument("--to", type=Path, metavar="PATH", help="weights, export: where to put it")
    flags.add_argument("--recipe", choices=RECIPES, help="how to train; as train.recipe")
    ask = flags.add_argument_group("evaluate").add_argument
    ask("--sets", dest="asked", default="val,test", metavar="[NAME=]SET,...",
        help="splits, folders, lists, tars (val,test)")  # fmt: skip
    ask("--views", type=int, default=1, help="looks at each picture, 10 at most (1)")
    ask("--fuse", default="", metavar="HOW,...",
        help="also all pictures of a plant together: logs, mean, max")  # fmt: skip
    ask("--checklist", metavar="LIST", help="also with what may be: a file, or family=Rosaceae")
    ask("--unseen", action="store_true",
        help="also without pictures that training has a near-duplicate of")  # fmt: skip
    args = flags.parse_args()
    if (args.task == "weights") != (args.name is not None):
        flags.error("the task `weights`, and no other, takes the name of a backbone")
    if args.nodes is not None and args.nodes < 1:
        flags.error(f"--nodes {args.nodes}: there must be one at least")
    code = guard(lambda: _do(args), verbose=args.verbose)
    if code and launch.is_rank():  # the others may wait for this one, and it for them
        sys.stderr.flush()
        os._exit(code)
    return code


def _do(args: argparse.Namespace) -> None:
    shared = options(args)
    if args.recipe:
        shared = dataclasses.replace(shared, sets=(*shared.sets, f"train.recipe={args.recipe}"))
    if args.task == "export":
        run = shared.data / "runs" / runs.name(args.run)
        say(export(run, shared.data / "shards", args.to or run / "export"))
        return
    if args.task == "weights":
        path = args.to or shared.data / "weights" / f"{args.name}.safetensors"
        hub.fetch(args.name, path)
        say(f"weights: {path} holds them; train.backbone and train.weights may name the two.")
        return
    slurm.adopt()
    try:
        if args.task == "train":
            train(shared, args.run, args.gpus, args.nodes)
        else:
            evaluate(shared, args.run, args.gpus, args.nodes, _trial(args))
    except Stopped as stop:
        runs.tell(f"{args.task}: {stop}; the same command goes on from there.")
        raise SystemExit(STOPPED) from None


def _trial(args: argparse.Namespace) -> Trial:
    return Trial(
        sets=sources(args.asked),
        views=args.views,
        fusions=fusions(list(filter(None, args.fuse.split(",")))),
        checklist=args.checklist,
        unseen=args.unseen,
    )


if __name__ == "__main__":
    sys.exit(main())
