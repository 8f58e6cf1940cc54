"""What an engine may still be asked: so many requests a day, and so much money, ever.

A request is counted on disk before it is sent, so a crawl that is killed has never asked more
than it counted. Days are those of UTC; `quota/<engine>.json` in the candidates folder has
the day, the requests of that day, those of the whole crawl, and what they cost.
"""

import fcntl
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from crawler.config import CrawlerSettings
from flora.errors import ContractError, LaterError
from flora.ledger import publish

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one engine was asked so far."""

    day: str = ""
    today: int = 0
    """Requests on that day."""
    ever: int = 0
    """Requests since the crawl began."""
    dollars: float = 0.0
    """What they cost."""


class Quota:
    """The requests of one engine, counted in the file *path*; its neighbours are other engines'."""

    def __init__(self, path: Path, per_day: int, *, price: float = 0.0, purse: float = 0.0) -> None:
        """*per_day* 0 is no limit. *price*: dollars a request; *purse*: dollars for all engines."""
        self._path, self._per_day, self._price, self._purse = path, per_day, price, purse

    def spend(self) -> None:
        """Count one request, which may then be sent. Raises LaterError if there is none left."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with (self._path.parent / ".lock").open("a") as lock:  # a purse is shared by engines
            fcntl.flock(lock, fcntl.LOCK_EX)
            spent = self.spent()
            if self._per_day and spent.today >= self._per_day:
                raise LaterError(
                    f"{self._path.stem}: the {self._per_day:,} requests a day are used up, until "
                    "00:00 UTC. The same command goes on then."
                )
            if self._price and dollars(self._path.parent) + self._price > self._purse + _ROUNDING:
                raise LaterError(
                    f"{self._path.stem}: the {self._purse:.2f} dollars of crawler.dollars are "
                    "spent. Raise it to go on, or leave the engine out of crawler.sources."
                )
            now = replace(spent, today=spent.today + 1, ever=spent.ever + 1,
                          dollars=round(spent.dollars + self._price, 9))  # fmt: skip
            with publish(self._path) as draft:
                draft.write_text(json.dumps(asdict(now)) + "\n", encoding="utf-8")

    def left(self) -> int | None:
        """Return how many requests may be sent today; None where there is no limit."""
        left = []
        if self._per_day:
            left.append(max(self._per_day - self.spent().today, 0))
        if self._price:
            rest = self._purse - dollars(self._path.parent) + _ROUNDING
            left.append(max(int(rest / self._price), 0))
        return min(left, default=None)

    def state(self) -> dict[str, float | None]:
        """Return what is left and what was spent, for the dashboard."""
        spent = self.spent()
        return {
            "left": self.left(),
            "a_day": self._per_day or None,
            "today": spent.today,
            "dollars": round(spent.dollars, 2),
        }

    def spent(self) -> Spent:
        """Return what was asked, with nothing yet on a new day."""
        spent, day = _read(self._path), today()
        return spent if spent.day == day else replace(spent, day=day, today=0)


def of(engine: str, folder: Path, settings: CrawlerSettings) -> Quota:
    """Return the quota of *engine* for the crawl whose candidates are in *folder*."""
    terms = getattr(settings, engine)
    return Quota(
        folder / "quota" / f"{engine}.json",
        terms.requests_per_day,
        price=terms.dollars_per_1000 / 1000,
        purse=settings.dollars,
    )


def dollars(folder: Path) -> float:
    """Return what the engines whose counts are in *folder* have cost."""
    return sum(_read(path).dollars for path in sorted(folder.glob("[!.]*.json")))


def today() -> str:
    """Return the day, in UTC."""
    return datetime.now(UTC).date().isoformat()


def _read(path: Path) -> Spent:
    try:
        return Spent(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Spent()
    except (OSError, ValueError, TypeError) as error:
        raise ContractError(
            f"{path}: not a count of requests ({error}). Delete it to begin the day anew."
        ) from error
