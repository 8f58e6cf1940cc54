"""What others call the classes of a model."""

from functools import cache
from pathlib import Path

import pyarrow as pa

from flora import names
from flora.taxa import Checklist


class Names:
    """Finds the class that a word stands for."""

    def __init__(self, classes: pa.Table, checklist: Path) -> None:
        """Know the *classes* (records.CLASSES), and the synonyms in the folder *checklist*."""
        rows = zip(*(classes[name].to_pylist() for name in ("label", "species_id", "name")),
                   strict=True)  # fmt: skip
        self._ids: dict[str, int] = {}
        self._names: dict[str, int] = {}
        for label, species_id, name in rows:
            self._ids[species_id] = label
            self._names[names.parse(name).key] = label
        self._count = len(classes)
        self._checklist = checklist
        self._list: Checklist | None = None
        self.label = cache(self._label)

    def _label(self, word: str) -> int:
        """Return the class of *word*: a species id, a name, a synonym, or `#` and a number.

        -1 where there is none.
        """
        if word in self._ids:
            return self._ids[word]
        if word.startswith("#"):
            return int(word[1:]) if word[1:].isdecimal() and int(word[1:]) < self._count else -1
        if not word:
            return -1
        if (self._checklist / "names.parquet").is_file():
            self._list = self._list or Checklist.load(self._checklist)
            found = self._list.find(word, suggest=False).species_id
            if found:
                return self._ids.get(found, -1)
        return self._names.get(names.parse(word).key, -1)
