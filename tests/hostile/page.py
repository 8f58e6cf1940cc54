"""The page docs/hostile.md: `python -m tests.hostile.page > docs/hostile.md`."""

import itertools
from collections.abc import Iterable

from tests.hostile.case import Case
from tests.hostile.cases import cases

_HEAD = """\
# A hostile web

What servers do to crawlers, and what becomes of it. `tests/hostile` sends every case through the
fetcher, `make bench NAME=hostile` through a worker whose memory is watched (below 300 MiB). Both
watch a port of this machine that no case may ever lead to. A test holds this page and the cases
together.

Damage to JPEGs: a file cut off, also one with a false end, is never accepted, nor one with 4 KB of
zeros in its data. A stretch of another JPEG of the same encoder can fit by chance, if it holds as
many blocks as the one it replaces: rare among photographs of baseline coding. A single flipped bit
goes unseen more often than not. The bench measures the rates.
"""


def page(corpus: Iterable[Case]) -> str:
    """Return the page for *corpus*."""
    lines = [_HEAD]
    for group, rows in itertools.groupby(corpus, key=lambda case: case.group):
        lines += [f"## {group.capitalize()}", "", "| case | becomes | why |", "| --- | --- | --- |"]
        for case in rows:
            lines.append(f"| {case.name.replace('_', ' ')} | `{case.expected}` | {case.why} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(cases()), end="")  # noqa: T201
