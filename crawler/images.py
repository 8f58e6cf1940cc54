"""The images folder: plan what was found, fetch what is planned."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from crawler import optout, pack, plan, retry, rounds, search
from crawler.config import CrawlerSettings
from crawler.harvest import harvest
from crawler.search import FileTask
from crawler.wanted import Wanted
from flora.console import say
from flora.errors import DiskFullError, StageError
from flora.ledger import Ledger, sweep
from flora.stage import Run, Unit

_WORTH_A_GENERATION = 100_000
"""Rows found since the last generation of the plan that are worth a new one..."""
_SHARE = 0.1
"""...or this share of all, if that is more: a generation has packs of its own."""


def fetch(
    run: Run,
    images: Path,
    settings: CrawlerSettings,
    retried: Sequence[str] = (),
    more: Callable[[], Sequence[Unit] | None] | None = None,
) -> None:
    """Fetch what is planned and not done, and what *more* plans meanwhile.

    The caller holds the folder's lock. Rows refused for one of *retried* are tried again.
    """
    if settings.opt_out:
        optout.listed(settings.opt_out)  # one that cannot be read is said now, not by a worker
    if not run.options.dry_run:
        for folder in (images, images / "tables", images / "open"):
            sweep(folder)
        pack.sweep(images, Ledger(images).receipts())
        if retried:
            rows = retry.reopen(images, retried)
            say(f"{rows:,} refused rows are tried again ({', '.join(retried)}).")
    run.units("fetch", images, plan.units(images, settings), harvest, more=more)
    if not run.options.dry_run:
        pack.sweep(images, Ledger(images).receipts())


class Growth:
    """Plans what a search finds while it goes on.

    First what the sources of files list, when all of them are read; then what engines found,
    whenever that is worth a generation of the plan; the rest when the search is over.
    """

    def __init__(
        self,
        data: Path,
        wanted: Sequence[Wanted],
        settings: CrawlerSettings,
        searching: Future[None],
    ) -> None:
        self._candidates, self._images = data / "candidates", data / "images"
        self._checklist = data / "checklist"
        self._wanted, self._settings, self._searching = wanted, settings, searching
        self._known = {unit.name for unit in plan.units(self._images, settings)}
        self._files_planned = self._over = False
        self._rows = 0  # found when the plan last grew

    def __call__(self) -> list[Unit] | None:
        """Return the units that have come up since the last call; None if that was all.

        Raises what ended the search if nothing can go on after it (a full disk, wrong settings).
        """
        if self._over:
            return None
        over = self._searching.done()
        error = self._searching.exception() if over else None
        if error is not None and (
            isinstance(error, DiskFullError) or not isinstance(error, StageError)
        ):
            raise error
        every = rounds.units(self._wanted, self._candidates, self._checklist, self._settings)
        done = rounds.finished(every, Ledger(self._candidates))
        if not self._files_planned:
            files = [unit.name for unit in every if isinstance(unit.task, FileTask)]
            if not over and not set(files) <= set(done):
                return []
            self._files_planned = True
            return self._extend([unit for unit in done if unit in files])
        if over or self._worth_it(done):
            self._over = over
            return self._extend(done)
        return []

    def _worth_it(self, done: Sequence[str]) -> bool:
        rows = self._count(done)
        return rows - self._rows >= max(_WORTH_A_GENERATION, _SHARE * rows)

    def _count(self, done: Sequence[str]) -> int:
        receipts = Ledger(self._candidates).receipts()
        return sum(receipts[unit].rows for unit in done)

    def _extend(self, done: Sequence[str]) -> list[Unit]:
        tables = [search.table_path(self._candidates, unit) for unit in done]
        plan.extend(self._images, tables, self._settings)
        self._rows = self._count(done)
        units = plan.units(self._images, self._settings)
        fresh = [unit for unit in units if unit.name not in self._known]
        self._known.update(unit.name for unit in fresh)
        return fresh
