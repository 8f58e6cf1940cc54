"""What an engine answered so far: a journal, so that no query is ever asked twice.

    open/<unit>.jsonl       first what the unit is made from, then a line an answered query

A line is written whole when all of a query's answer is there. After a kill, or a quota that
ended in mid-unit, the journal is read to its last whole line and the unit goes on from there.
"""

import contextlib
import fcntl
import json
import os
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crawler.candidates import Candidate
from flora.errors import StageError
from flora.ledger import slug
from flora.records import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one query."""

    species_id: str
    query: str
    found: Sequence[Candidate]
    odd: str = ""
    """Why this query, alone of its kind, has no answer."""


class Answers(contextlib.AbstractContextManager["Answers"]):
    """The journal of one unit, open for more."""

    def __init__(self, folder: Path, unit: str, recipe: str) -> None:
        path = journal_path(folder, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise StageError(f"{unit}: another process is asking this unit's queries.") from error
        self.known: set[tuple[str, str]] = set()
        """(species_id, query) of what was answered"""
        self.odd: Counter[str] = Counter()
        """Queries that have no answer, by why."""
        self._recover({"recipe": recipe})

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def add(self, answer: Answer) -> None:
        """Keep the answer to one query."""
        rows = [{**asdict(each), "tier": str(each.tier)} for each in answer.found]
        line = {"species_id": answer.species_id, "query": answer.query, "odd": answer.odd}
        self._write({**line, "found": rows})
        self._note(line)

    def candidates(self) -> Generator[Candidate]:
        """Yield what was found, in the order it was asked for."""
        self._file.seek(0)
        for raw in _lines(self._file.fileno()):
            for row in json.loads(raw).get("found", ()):
                yield Candidate(**{**row, "tier": Tier(row["tier"])})

    def _note(self, line: Mapping[str, Any]) -> None:
        self.known.add((line["species_id"], line["query"]))
        if line["odd"]:
            self.odd[line["odd"]] += 1

    def _recover(self, head: dict[str, str]) -> None:
        good = 0
        for number, raw in enumerate(_lines(self._file.fileno())):
            line = _parse(raw)
            if line is None or (number == 0 and line != head):
                break
            good += len(raw)
            if number:
                self._note(line)
        self._file.truncate(good)
        if not good:
            self._write(head)

    def _write(self, line: dict[str, Any]) -> None:
        view = memoryview(json.dumps(line).encode() + b"\n")
        while view:  # a plain write may stop early, at a full disk for one
            view = view[os.write(self._file.fileno(), view) :]


def journal_path(folder: Path, unit: str) -> Path:
    """Return where the answers to *unit* are kept until its table is there."""
    return folder / "open" / f"{slug(unit)}.jsonl"


def sweep(folder: Path, done: Iterable[str]) -> None:
    """Remove the journals of units that are *done*. Call it only under the folder's lock."""
    for unit in done:
        journal_path(folder, unit).unlink(missing_ok=True)


def _lines(descriptor: int) -> Generator[bytes]:
    """Yield the lines of an open file from its start, however many there are."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        yield from file


def _parse(raw: bytes) -> dict[str, Any] | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return dict(line) if isinstance(line, dict) else None
