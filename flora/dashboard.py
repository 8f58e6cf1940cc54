"""Our page on the Dask dashboard: what the pipeline does, not what the scheduler does.

`dask scheduler --preload flora.dashboard` gives it to a scheduler of your own; the clusters we
start, and those we join, are given it when we connect. Dask's menu is a list in its templates
that is not documented; a test pins that our page gets into it.
"""

import re
import time
from pathlib import Path

from distributed import Client, Scheduler
from distributed.dashboard.scheduler import template_variables
from distributed.http.utils import RequestHandler

from flora import page
from flora.console import say
from flora.ledger import publish
from flora.page import Health
from flora.tally import TOPIC, Tally

ROUTE = "/flora"
_PATIENCE = 30.0
_KEPT_SECONDS = 1.0
_ICON = re.compile(r"<link [^>]*https?://[^>]*>")
"""The one thing that Dask's report would ask the internet for."""


def dask_setup(scheduler: Scheduler) -> None:
    """Be preloaded by `dask scheduler --preload flora.dashboard`."""
    scheduler.add_plugin(Tally(), idempotent=True)
    serve(scheduler)


def serve(dask_scheduler: Scheduler) -> None:
    """Have *dask_scheduler*, on which this runs, serve the page, and list it in its menu."""
    pages = template_variables(dask_scheduler)["pages"]
    if ROUTE.strip("/") not in pages:
        pages.append(ROUTE.strip("/"))
        route = (rf"(?:/.*)?{ROUTE}", _Page, {"drawing": _Drawing(dask_scheduler)})
        dask_scheduler.http_application.add_handlers(r".*", [route])


def draw(dask_scheduler: Scheduler, *, live: bool = False) -> str:
    """Return the page as it is now, from the scheduler on which this runs."""
    now = time.time()
    workers = [
        Health(
            address=worker.address,
            memory=worker.metrics.get("memory", 0) / (worker.memory_limit or float("inf")),
            processor=worker.metrics.get("cpu", 0.0),
            silent=max(now - worker.last_seen, 0.0),
        )
        for worker in dask_scheduler.workers.values()
    ]
    return page.draw(dask_scheduler.plugins.get(TOPIC) or Tally(), workers, now, live=live)


def save(client: Client, folder: Path, began: float) -> None:
    """Keep what a run that *began* then (Unix seconds) looked like, as two files in *folder*.

    `<time>-page.html` is our page, `<time>-dask.html` Dask's performance report; each needs
    nothing but itself. A cluster that does not answer any more is no reason to fail.
    """
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began))
    for part, ask in (("page", _page), ("dask", _report)):  # ours first: it takes no time
        try:
            text = client.sync(ask, client, began, callback_timeout=_PATIENCE)
        except (TimeoutError, OSError) as error:
            say(f"The last state of the dashboard was not kept ({type(error).__name__}).")
            return
        with publish(folder / f"{name}-{part}.html") as draft:
            draft.write_text(text, encoding="utf-8")


async def _page(client: Client, _began: float) -> str:
    return str(await client.run_on_scheduler(draw))


async def _report(client: Client, began: float) -> str:
    report = await client.scheduler.performance_report(start=began, last_count=0, mode="inline")
    return _ICON.sub("", report)


class _Drawing:
    """The live page of one scheduler, drawn once a second at most, however many look at it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler, self._at, self._text = scheduler, 0.0, ""

    def text(self) -> str:
        if time.monotonic() - self._at > _KEPT_SECONDS:
            self._text = draw(self._scheduler, live=True)
            self._at = time.monotonic()
        return self._text


class _Page(RequestHandler):  # type: ignore[misc]
    """Answers with the page."""

    def initialize(self, drawing: _Drawing) -> None:
        self._drawing = drawing

    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write(self._drawing.text())
