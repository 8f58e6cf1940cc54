"""`python -m shards`: verdicts -> plan -> gather -> cut -> shards -> sums -> index -> about."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from flora import config
from flora.command import Options, guard, options, parser
from flora.config import digest
from flora.console import say, show, size
from flora.ledger import Ledger, Receipt, sweep
from flora.stage import Run, Unit
from shards import forecast, gather, lustre, needs, sums, units, verify
from shards.config import ShardSettings
from shards.forecast import Work
from shards.units import Task


def shards(options: Options, *, verified: bool = False) -> None:
    """Pack what the verdicts keep; with *verified*, read all of it again afterwards."""
    settings = options.settings("shards", ShardSettings)
    folder = options.data / "shards"
    task = Task(data=options.data, settings=settings)
    first = Unit(name="plan", recipe=_recipe(options.data, settings), task=task)
    with Run(options) as run:
        if options.dry_run:
            _foresee(run, first)
            return
        planned = Ledger(folder).receipts().get("plan")
        if planned is None or planned.recipe != first.recipe:
            _make_room(folder, settings, forecast.guess(options.data, settings))
        with Ledger(folder).lock():
            for each in (folder, folder / "spills", folder / "parts"):
                sweep(each)
            planned = run.units("plan", folder, [first], units.make_plan)["plan"]
            packed = _pack(run, task, planned)
            if verified:
                _verify(run, task, packed)
    say(f"  {packed.rows:,} pictures in {len(packed.detail['shards'])} shards")


def _pack(run: Run, task: Task, planned: Receipt) -> Receipt:
    """Do all that follows the plan; return the receipt of the cut."""
    folder, work = task.data / "shards", forecast.planned(planned)
    _forget_others(folder, planned)
    if _reopen(folder, planned):
        _make_room(folder, task.settings, work)
        say(f"  {lustre.stripe(folder, task.settings)}")
    task = replace(task, straight=planned.detail["straight"], spills=len(planned.detail["spills"]))
    run.units("gather", folder, _gathering(task, planned), units.make_spill)
    packed = run.units("cut", folder, [_unit("cut", planned, task)], units.make_cut)["cut"]
    run.units("shards", folder, _filling(task, planned, packed), units.make_shard)
    summed = run.units("sums", folder, _summing(task, planned, packed), units.make_sums)
    checksums = {name: sum for each in summed.values() for name, sum in each.detail.items()}
    last = replace(task, checksums=checksums)
    run.units("index", folder, [_unit("index", planned, last)], units.make_index)
    for path in (folder / "spills").glob("*"):
        path.unlink()
    run.units("about", folder, [_unit("about", planned, task)], units.make_about)
    return packed


def _verify(run: Run, task: Task, packed: Receipt) -> None:
    """Read every shard again. What is done is only remembered should this be interrupted."""
    folder = task.data / "shards"
    verify.shards(folder)
    sums = verify.read_sums(folder)
    every = [
        Unit(name=name, recipe=sums[f"{name}.tar"], task=replace(task, name=name), bytes=bytes)
        for name, bytes in packed.detail["shards"].items()
    ]
    run.units("verify", folder / "verified", every, units.check_shard)
    shutil.rmtree(folder / "verified")


def _recipe(data: Path, settings: ShardSettings) -> str:
    made_from = {
        f"{stage}/{name}": receipt.recipe + receipt.finished_at
        for stage in ("checklist", "images", "verdicts")
        for name, receipt in Ledger(data / stage).receipts().items()
    }
    return digest(settings, made_from)


def _unit(name: str, planned: Receipt, task: Task, bytes: int = 0) -> Unit:
    """Return a unit of this plan. Its recipe is its plan and its name: all else is in the plan."""
    return Unit(name=name, recipe=_made(planned, name), task=task, bytes=bytes)


def _made(planned: Receipt, name: str) -> str:
    return digest(planned.recipe, planned.finished_at, name)


def _gathering(task: Task, planned: Receipt) -> list[Unit]:
    return [
        _unit(f"gather/{number:05}", planned, replace(task, number=number),
              0 if task.straight else bytes)
        for number, bytes in enumerate(planned.detail["spills"])
    ]  # fmt: skip


def _filling(task: Task, planned: Receipt, packed: Receipt) -> list[Unit]:
    return [
        _unit(name, planned, replace(task, name=name, number=number), bytes)
        for number, (name, bytes) in enumerate(packed.detail["shards"].items())
    ]


def _summing(task: Task, planned: Receipt, packed: Receipt) -> list[Unit]:
    sizes, found = packed.detail["shards"], list[Unit]()
    for number, names in enumerate(sums.groups(list(sizes))):
        size = sum(sizes[name] for name in names)
        found.append(_unit(f"sums/{number:05}", planned, replace(task, shards=names), size))
    return found


def _forget_others(folder: Path, planned: Receipt) -> None:
    """Remove what is of another plan, files whose unit has no receipt, shards without a file."""
    ledger, done = Ledger(folder), set()
    for name, receipt in ledger.receipts().items():
        if name != "plan" and receipt.recipe != _made(planned, name):
            ledger.forget(name)
        else:
            done.add(name)
    files = {path: path.stem for path in folder.glob("[!.]*.tar")}
    if lost := set(_shards(ledger)) - done.intersection(files.values()):
        groups = enumerate(sums.groups(_shards(ledger)))
        summed = [f"sums/{number:05}" for number, group in groups if lost.intersection(group)]
        for name in (*lost, *summed, "index"):
            ledger.forget(name)
        done.discard("index")
    files |= {path: path.stem for path in (folder / "parts").glob("[!.]*")}
    files |= {path: f"gather/{path.stem}" for path in (folder / "spills").glob("[!.]*")}
    files |= {folder / name: "index" for name in ("index.parquet", "SHA256SUMS")}
    for path, unit in files.items():
        if unit not in done:
            path.unlink(missing_ok=True)


def _reopen(folder: Path, planned: Receipt) -> bool:
    """Tell whether shards are still to be made; if so, open the units whose spills are gone."""
    ledger = Ledger(folder)
    receipts, names = ledger.receipts(), _shards(ledger)
    if names and all(name in receipts for name in names):
        return False
    for number in range(len(planned.detail["spills"])):
        path = gather.bin_path(folder, number)
        if not (path.is_file() and path.with_suffix(".parquet").is_file()):
            ledger.forget(f"gather/{number:05}")
    return True


def _shards(ledger: Ledger) -> list[str]:
    """Return the names of the shards, none before they are cut."""
    receipt = ledger.receipts().get("cut")
    return list(receipt.detail["shards"]) if receipt else []


def _make_room(folder: Path, settings: ShardSettings, work: Work) -> None:
    """Raise StageError if the disk is too small for what is not there yet."""
    there = [*folder.glob("[!.]*.tar"), *folder.glob("spills/[!.]*.bin")]
    bytes, files = work.needs(settings)
    needs.check(
        folder, bytes=max(bytes - sum(path.stat().st_size for path in there), 0), files=files
    )


def _foresee(run: Run, first: Unit) -> None:
    """Say what would run and what it takes."""
    settings, data = first.task.settings, run.options.data
    folder = data / "shards"
    say(config.show(settings, "shards"))
    done = run.units("plan", folder, [first], units.make_plan)
    if "plan" in done:
        task = replace(first.task, straight=done["plan"].detail["straight"])
        run.units("gather", folder, _gathering(task, done["plan"]), units.make_spill)
    work = forecast.planned(done["plan"]) if done else forecast.guess(data, settings)
    bytes, files = work.needs(settings)
    say(f"shards: {'' if done else 'about '}{work.pictures:,} pictures, {size(work.fetched)} as "
        f"fetched, in {'one pass' if work.straight(settings) else 'two passes'}.")  # fmt: skip
    say(f"  {needs.text(folder, bytes=bytes, files=files)}")


def main(arguments: list[str] | None = None) -> int:
    """Run the stage; return its exit code."""
    flags = parser("shards", "Pack the kept pictures into WebDataset shards.")
    flags.add_argument("--verify", action="store_true", help="then read all of it again")
    flags.add_argument(
        "what", nargs="?", choices=["plan"], help="plan: only print how a training run would read"
    )
    for name, default, what in (
        ("nodes", 64, "nodes to train on"),
        ("ranks-per-node", 4, "processes on each"),
        ("images", 12e6, "pictures in all"),
        ("osts", 64, "disk servers of the Lustre system"),
    ):
        flags.add_argument(f"--{name}", type=float, default=default, help=f"{what} ({default:g})")
    args = flags.parse_args(arguments)

    def act() -> None:
        if args.what == "plan":
            show(lustre.report(
                int(args.nodes), int(args.ranks_per_node), int(args.images),
                options(args).settings("shards", ShardSettings), osts=int(args.osts),
            ))  # fmt: skip
        else:
            shards(options(args), verified=args.verify)

    return guard(act, verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
