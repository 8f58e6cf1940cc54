"""Our page on the Dask dashboard: what the pipeline does, not what the scheduler does.

`dask scheduler --preload flora.dashboard` gives it to a scheduler of your own. Pages are
registered in a table of distributed's that is not documented; a test pins that it works.
"""

from collections import Counter
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, Div, FactorRange, NumeralTickFormatter
from bokeh.plotting import figure
from distributed import Scheduler
from distributed.dashboard.components import DashboardComponent, add_periodic_callback
from distributed.dashboard.scheduler import applications

from flora.tally import TOPIC, Tally, Totals

ROUTE = "/individual-flora"
_GREEN, _ORANGE, _BLUE, _GREY = "#1b7837", "#d95f02", "#4575b4", "#d9d9d9"
_PERIOD_MS = 500
_BARS = 12


def dask_setup(scheduler: Scheduler) -> None:
    """Be preloaded by `dask scheduler --preload flora.dashboard`."""
    scheduler.add_plugin(Tally())


class FloraPage(DashboardComponent):  # type: ignore[misc]
    """Progress by stage, rates over time, refusals by reason, busiest hosts."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.headline = Div(text="", sizing_mode="stretch_width")
        self.progress = ColumnDataSource({"stage": [], "done": [], "left": []})
        self.rates = ColumnDataSource({"time": [], "rows": [], "mib": []})
        self.refused = ColumnDataSource({"name": [], "count": []})
        self.hosts = ColumnDataSource({"name": [], "count": []})
        self.left = ColumnDataSource({"name": [], "count": []})
        self._stages = _bars("Units done, by stage")
        self._stages.hbar_stack(
            ["done", "left"], y="stage", height=0.7, color=[_GREEN, _GREY], source=self.progress
        )
        self._reasons = _bars("Refused, by reason")
        self._reasons.hbar(y="name", right="count", height=0.7, color=_ORANGE, source=self.refused)
        self._busy = _bars("Images asked for, by host")
        self._busy.hbar(y="name", right="count", height=0.7, color=_BLUE, source=self.hosts)
        self._slow = _bars("Minutes left at least, by host budget")
        self._slow.hbar(y="name", right="count", height=0.7, color=_ORANGE, source=self.left)
        self.root = column(
            self.headline,
            _beside(self._stages, _rate(self.rates, "rows", "Rows a second", _GREEN)),
            _beside(self._reasons, _rate(self.rates, "mib", "MiB a second", _BLUE)),
            _beside(self._busy, self._slow),
            sizing_mode="stretch_width",
        )

    def update(self) -> None:
        """Draw the tally as it is now."""
        tally = self.scheduler.plugins.get(TOPIC)
        if not isinstance(tally, Tally):
            return
        stages = tally.stages
        self.headline.text = _headline(stages)
        names = list(stages)
        self._stages.y_range.factors = names[::-1]
        self.progress.data = {
            "stage": names,
            "done": [stages[name].units_done for name in names],
            "left": [max(stages[name].units - stages[name].units_done, 0) for name in names],
        }
        self.rates.data = {
            "time": [second * 1000 for second, _, _ in tally.history],
            "rows": [rows for _, rows, _ in tally.history],
            "mib": [size / 2**20 for _, _, size in tally.history],
        }
        _rank(
            self._reasons, self.refused, sum((t.refused for t in stages.values()), Totals().refused)
        )
        _rank(self._busy, self.hosts, sum((t.hosts for t in stages.values()), Totals().hosts))
        minutes = {k: v / 60 for totals in stages.values() for k, v in totals.left.items()}
        _rank(self._slow, self.left, Counter(minutes))


def _document(scheduler: Scheduler, extra: dict[str, Any], doc: Any) -> None:
    page = FloraPage(scheduler)
    page.update()
    add_periodic_callback(doc, page, _PERIOD_MS)
    doc.add_root(page.root)
    doc.title = "worldflora"


def _beside(*plots: Any) -> Any:
    return row(*plots, sizing_mode="stretch_width")


def _bars(title: str) -> Any:
    plot = _figure(title, y_range=FactorRange(factors=[]))
    plot.x_range.start = 0
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    return plot


def _figure(title: str, **extra: Any) -> Any:
    return figure(
        title=title,
        height=240,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        **extra,
    )


def _rate(source: ColumnDataSource, key: str, title: str, colour: str) -> Any:
    plot = _figure(title, x_axis_type="datetime")
    plot.line("time", key, source=source, color=colour, line_width=2)
    plot.y_range.start = 0
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    return plot


def _rank(plot: Any, source: ColumnDataSource, counter: Counter[str]) -> None:
    top = counter.most_common(_BARS)
    plot.y_range.factors = [name for name, _ in top][::-1]
    source.data = {"name": [name for name, _ in top], "count": [count for _, count in top]}


def _headline(stages: dict[str, Totals]) -> str:
    parts = [
        f"<b>{name}</b> {t.units_done:,}/{t.units:,} units, {t.rows:,} rows, "
        f"{t.bytes / 2**20:,.0f} MiB, {sum(t.refused.values()):,} refused"
        for name, t in stages.items()
    ]
    return "<br>".join(parts) or "Nothing has run on this cluster yet."


# On import, the one exception here: the page must be known before the scheduler exists, and a
# preloaded module has no earlier moment.
applications[ROUTE] = _document
