"""A stage's way of working: plan -> skip what is done -> run the rest on Dask -> receipts.

A stage says what its units are and how one is done; everything else (resuming, retrying,
progress) is here, the same for all.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from distributed import Client

from flora import cluster
from flora.command import Options
from flora.console import say
from flora.job import Job
from flora.ledger import Ledger, Receipt
from flora.tally import Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One thing to do."""

    name: str
    recipe: str
    task: Any
    """What the stage's work function is called with; travels to a worker, so keep it small."""
    lane: str = ""
    """Units of one lane run one after another (a host has one owner at a time)."""
    seconds: float = 0.0
    """The least time it can take where that is known (a polite crawl is as fast as its hosts
    allow). The lanes with the most left go first, and the time left is theirs."""
    bytes: int = 0
    """What it comes to where that is known: the time left is then told by bytes."""
    waits: bool = False
    """It mostly waits for others, not for the processor: a worker has many such in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a unit brought; becomes its receipt."""

    rows: int = 0
    bytes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


class Run(contextlib.AbstractContextManager["Run"]):
    """One invocation of a stage. The cluster starts when the first unit needs it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._stack = contextlib.ExitStack()
        self._client: Client | None = None
        self._logs: Path | None = options.data / "logs"
        self._stopped = threading.Event()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stack.close()

    def units(
        self,
        stage: str,
        folder: Path,
        units: Sequence[Unit],
        work: Callable[[Any], Outcome],
        *,
        more: Callable[[], Sequence[Unit] | None] | None = None,
    ) -> dict[str, Receipt]:
        """Do the open ones of *units*; return the receipts of all, in their order.

        *more* is asked every few seconds for units that have come up since, until it returns
        None: there will be no more. The caller holds the folder's lock. With --dry-run nothing
        is done and only the receipts that already hold are returned. Raises StageError if units
        remain, after all others were done (LaterError if they have to wait); a full disk,
        ContractError or ConfigError ends the stage at once.
        """
        ledger = Ledger(folder)
        receipts = ledger.receipts()
        open_units, done = [], {}
        for unit in units:
            receipt = receipts.get(unit.name)
            if receipt is not None and receipt.recipe == unit.recipe:
                done[unit.name] = receipt
            else:
                open_units.append(unit)
        if self.options.dry_run:
            _explain(stage, units, open_units, receipts)
            return done
        ledger.plan(stage, len(units))
        if open_units or more:
            totals = Totals(
                units=len(units), units_done=len(done), todo=sum(unit.bytes for unit in open_units)
            )
            job = Job(self._connect(), stage, ledger, work, totals, more, self._stopped)
            done.update(job.run(open_units))
        else:
            say(f"{stage}: all {len(units)} units were done before.")
        return {name: done[name] for name in [unit.name for unit in units] if name in done}

    def beside(self) -> "Run":
        """Return a run on the same cluster, for another thread. The caller closes it."""
        address = self._connect().scheduler.address
        run = Run(replace(self.options, cluster=address))
        run._logs = None  # this one keeps what there is to see of both
        return run

    def stop(self) -> None:
        """Have what another thread is running here end with a StageError, soon."""
        self._stopped.set()

    def _connect(self) -> Client:
        if self._client is None:
            settings = self.options.settings("cluster", cluster.ClusterSettings)
            self._client = self._stack.enter_context(
                cluster.connect(self.options.cluster, settings, self._logs)
            )
        return self._client


def _explain(
    stage: str, units: Sequence[Unit], open_units: Sequence[Unit], receipts: dict[str, Receipt]
) -> None:
    say(f"{stage}: {len(open_units)} of {len(units)} units would run.")
    for unit in open_units[:20]:
        why = "its recipe changed" if unit.name in receipts else "never done"
        say(f"  {unit.name}: {why}")
    if len(open_units) > 20:
        say(f"  and {len(open_units) - 20} more")
