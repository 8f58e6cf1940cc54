"""Which species may be the answer: a country's list, a family, a genus.

Where a picture was taken is often known, and with it what can grow there.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flora.errors import ConfigError

Mask = npt.NDArray[np.bool_]


COLUMNS = ("species_id", "name", "genus", "family")
"""What a class may be listed by."""


def allowed(
    source: str,
    classes: Mapping[str, Sequence[str]],
    find: Callable[[str], int] | None = None,
) -> Mask:
    """Return which classes *source* allows, by label.

    *source* is `column=value` (`family=Rosaceae`), or a file with a name a line: of any column of
    *classes* (`species_id`, `name`, ...), in its first cell where it has several. What is no such
    name, *find* may know a label of. Raises ConfigError for a source that cannot be read, or that
    allows no class at all.
    """
    column, equals, value = source.partition("=")
    if equals and not Path(source).exists():
        if column not in classes:
            raise ConfigError(f"{source}: there is no {column}; known: {', '.join(classes)}.")
        wanted, columns = {value.strip()}, [column]
    else:
        wanted, columns = names(Path(source)), list(classes)
    found = np.any([[each in wanted for each in classes[name]] for name in columns], axis=0)
    if find:
        others = (find(each) for each in wanted.difference(*(classes[name] for name in columns)))
        found[[label for label in others if label >= 0]] = True
    if not found.any():
        raise ConfigError(f"{source}: names none of the {len(found):,} classes: nothing is left.")
    mask: Mask = np.asarray(found, np.bool_)
    return mask


def names(path: Path) -> set[str]:
    """Return the first cell of every line of *path*. Raises ConfigError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list ({error}).") from error
    mark = next((each for each in "\t;," if each in text), ",")
    rows = csv.reader(text.splitlines(), delimiter=mark)
    return {row[0].strip() for row in rows if row and row[0].strip()}
