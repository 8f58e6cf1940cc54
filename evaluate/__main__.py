"""`python -m evaluate table|score|compare|write`: figures of runs, of any system's, of people's.

docs/evaluation.md has examples of each.
"""

import argparse
import json
import sys
from pathlib import Path

from evaluate import entries, evaluation, guesses, mapping, plot, runfiles, table, taxa
from evaluate.entries import Entry, Switches
from evaluate.guesses import Fusion
from evaluate.mapping import Mapping
from evaluate.taxa import Taxa
from flora import predictions, regions
from flora.command import Options, guard, options, parser
from flora.console import say, show
from flora.errors import ConfigError
from flora.ledger import Ledger, publish
from flora.predictions import Predictions


def tabulate(shared: Options, run: str) -> None:
    """Show all figures of a run of ours, and write them beside it: JSON, Markdown, HTML."""
    folder = shared.data / "runs" / run
    if shared.dry_run:
        say(f"evaluate: {folder / 'evaluation.html'} would be written.")
        return
    if not evaluation.sets(folder):
        if (folder / "evaluate.sbatch").is_file():
            say("evaluate: the job is not done yet; the same command then shows its figures.")
            return
        raise ConfigError(f"{folder}: there is no evaluated run. Evaluate it first.")
    known = taxa.read(shared.data / "shards" / "classes.parquet")
    with Ledger(folder).lock():
        show(evaluation.write(folder, known))
    say(f"evaluate: {folder / 'evaluation.html'}; evaluation.md and evaluation.json beside it.")


def _tabulate(args: argparse.Namespace) -> None:
    if len(args.runs) != 1:
        raise ConfigError("table takes one run of DATA/runs.")
    tabulate(options(args), args.runs[0])


def score(args: argparse.Namespace) -> None:
    """Show the table of all runs given; with --output, write it as JSON and as a plot too."""
    found, known = _entries(args, args.on)
    heat = {name: evaluation.temperature(_run(args, name)) for name in {e.name for e in found}}
    figures = [table.measure(each, known, heat[each.name]) for each in found]
    show(table.text(figures))
    if args.output:
        with publish(args.output / "scores.json") as draft:
            draft.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        plot.draw(args.output / "scores.svg", figures)
        say(f"evaluate: {args.output / 'scores.json'} and scores.svg beside it")


def compare(args: argparse.Namespace) -> None:
    """Show by how much the second run is better than the first, in every configuration of both."""
    if len(args.runs) != 2:
        raise ConfigError("compare takes two runs: the one before and the one after.")
    for name in args.on.split(","):
        _compare(args, name)


def _compare(args: argparse.Namespace, on: str) -> None:
    found, known = _entries(args, on)
    names = list(dict.fromkeys(each.name for each in found))
    if len(names) != 2:
        raise ConfigError(f"both runs are called {names[0]}. Name them: one=FILE two=FILE.")
    sides = [{(e.how, e.subset): e for e in found if e.name == name} for name in names]
    for key in sides[0]:
        if key in sides[1]:
            one, two = sides[0][key], sides[1][key]
            way = " + ".join(key[0]) or "plain"
            where = "" if args.truth else f" on {on}"
            show(f"{two.name} less {one.name}{where}: {way} {key[1]}".rstrip())
            show(table.text_compared(table.compare(one, two, known)))


def write(args: argparse.Namespace) -> None:
    """Write the guesses of a run of ours as a PlantCLEF run file; with --truth, what was true too.

    All forms but that of 2017 are about observations: the guesses for their pictures are fused.
    """
    if len(args.runs) != 1 or not args.output:
        raise ConfigError("write takes one run, and --output FILE.")
    known = _taxa(args)
    if known is None:
        raise ConfigError("write needs the names of the classes: --classes classes.parquet.")
    rows = _observed(args) if runfiles.FORMATS[args.format].observations else _plain(args)
    theirs = _mapping(args, known)
    ids = theirs.theirs(known.ids) if theirs else known.ids
    with publish(args.output) as draft:
        runfiles.write_run(draft, rows, ids, args.format)
    if args.truth:
        with publish(args.truth) as draft:
            runfiles.write_truth(draft, rows, ids)
    say(f"evaluate: {args.output}")


def _plain(args: argparse.Namespace) -> Predictions:
    """Return the guesses for each picture of the one run given."""
    name, path = _named(args.runs[0])
    if path.suffix == ".parquet":
        return predictions.read(path)
    return predictions.read(_run(args, name) / f"guesses-{args.on}.parquet")


def _observed(args: argparse.Namespace) -> Predictions:
    """Return the guesses for each observation: from whole rows of scores if they are there."""
    how: Fusion = (args.fuse or ["logs"])[0]
    name, path = _named(args.runs[0])
    exact = _run(args, name) / f"guesses-{args.on}-{how}.parquet"
    if path.suffix != ".parquet" and exact.is_file():
        return predictions.read(exact)
    return guesses.fuse(_plain(args), how)


def _entries(args: argparse.Namespace, on: str) -> tuple[list[Entry], Taxa]:
    """Return what the set *on*, --truth and the switches make of the runs given."""
    ours: list[Entry] = []
    files: list[tuple[str, Path, bool]] = []
    given = [(run, False) for run in args.runs] + [(run, True) for run in args.people]
    for text, people in given:
        name, path = _named(text)
        if path.suffix == ".parquet":
            ours.append(Entry(name=name, rows=predictions.read(path), people=people))
        elif path.is_file():
            files.append((name, path, people))
        else:
            ours += entries.of_run(_run(args, name), on)
    known = _taxa(args)
    found: list[Entry] = []
    if files:
        if not args.truth:
            raise ConfigError(f"{files[0][1]}: a run file needs what is true: --truth FILE.")
        theirs = _mapping(args, known)
        found, known = entries.of_files(files, args.truth, known, args.candidates, theirs)
    if not ours + found:
        raise ConfigError("name a run, or a run file and --truth.")
    known = known or taxa.bare([])
    switches = Switches(
        allowed=known.allowed(args.checklist) if args.checklist else None,
        gone=regions.names(args.without) if args.without else (),
        fusions=args.fuse,
    )
    return entries.switched([*ours, *found], switches, known), known


def _taxa(args: argparse.Namespace) -> Taxa | None:
    path = args.classes or options(args).data / "shards" / "classes.parquet"
    return taxa.read(path) if args.classes or path.is_file() else None


def _mapping(args: argparse.Namespace, known: Taxa | None) -> Mapping | None:
    """Return what --mapping says, and tell what of it is strange to us."""
    if args.mapping is None:
        return None
    if known is None:
        raise ConfigError("--mapping needs the names of our classes: --classes classes.parquet.")
    found = mapping.read(args.mapping, known)
    if found.strange:
        few = ", ".join(found.strange[:3])
        say(f"{args.mapping}: {len(found.strange):,} lines are of no species of ours: {few}, ...")
    return found


def _run(args: argparse.Namespace, name: str) -> Path:
    return options(args).data / "runs" / name


def _named(text: str) -> tuple[str, Path]:
    """Return the name and the path of `NAME=PATH`, or of `PATH` alone."""
    name, equals, path = text.partition("=")
    if equals:
        return name, Path(path)
    return (Path(text).stem if Path(text).is_file() else text), Path(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    flags = parser("evaluate", "Figures of runs: of ours, of any system's, of people's.")
    tasks = {"table": _tabulate, "score": score, "compare": compare, "write": write}
    add = flags.add_argument
    add("task", choices=tasks)
    add("runs", nargs="*", metavar="RUN", help="a run of DATA/runs, or [NAME=]FILE")
    add("--people", nargs="+", default=[], metavar="[NAME=]FILE", help="run files of people")
    add(
        "--truth",
        type=Path,
        metavar="FILE",
        help="ground truth of the run files; write writes it",
    )
    add("--classes", type=Path, metavar="FILE", help="(DATA/shards/classes.parquet)")
    add("--candidates", type=int, metavar="C", help="classes that could be named (all named ones)")
    add("--mapping", type=Path, metavar="FILE", help="their class ids, and our species")
    add("--on", default="test", metavar="SET", help="which set of a run of DATA/runs (test)")
    add("--checklist", metavar="LIST", help="what may be the answer: a file, or family=Rosaceae")
    add("--without", type=Path, metavar="FILE", help="keys of test pictures to leave out")
    add("--fuse", nargs="+", default=[], choices=("logs", "mean", "max"),
        help="also make one guess of all pictures of an observation")  # fmt: skip
    add("--format", default="2022", choices=runfiles.FORMATS, help="of write (2022)")
    add("--output", type=Path, metavar="PATH", help="a folder for score, a file for write")
    args = flags.parse_args(arguments)
    return guard(lambda: tasks[args.task](args), verbose=args.verbose)


if __name__ == "__main__":
    sys.exit(main())
