"""Which species a name stands for, by following what the list says of it.

A synonym points to another name, that may point on; an accepted infraspecific name belongs to
its species. All names take a step at once, then two, four, eight, ... until nobody moves; who
has not reached an accepted species by then is unresolved, be it for a link to nowhere, for a
circle, or because the list itself has not decided.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flora.lists import ACCEPTED, MISAPPLIED, SYNONYM, UNRESOLVED

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """For every row of a list, rows of that list; -1 is none."""

    species: Rows
    """The accepted species that the name stands for."""
    hint: Rows
    """Where it stands for none: the species that the list points to without deciding."""
    dangling: int
    """Synonyms whose accepted name is not in the list."""
    circular: int
    """Synonyms that lead round in a circle."""


def resolve(rows: pa.Table, keys: pa.Array) -> Links:
    """Follow every name of *rows* (lists.NAME_ROWS; *keys* are its names') to its species."""
    count = rows.num_rows
    status = rows["status"].combine_chunks()
    accepted, synonym = mask(pc.equal(status, ACCEPTED)), mask(pc.equal(status, SYNONYM))
    infraspecific = mask(rows["infraspecific"])
    species = accepted & ~infraspecific
    folded = np.flatnonzero(accepted & infraspecific)
    links = [*rows["accepted_id"].chunks, *rows["parent_id"].take(folded).chunks]
    target, parent = np.split(rows_of(pa.chunked_array(links), rows["id"]), [count])
    named = mask(pc.not_equal(rows["accepted_id"], ""))

    nowhere = count  # one row more, that stays where it is
    step = np.full(count + 1, nowhere)
    step[:count][species] = np.flatnonzero(species)
    step[:count][synonym] = np.where(target >= 0, target, nowhere)[synonym]
    owner = _owners(keys.take(pa.array(folded)), keys, species)
    owner = np.where(owner >= 0, owner, nowhere)
    step[folded] = np.where((parent >= 0) & accepted[parent], parent, owner)
    for _ in range(count.bit_length()):
        before, step = step, step[step]
        if np.array_equal(before, step):
            break

    at_species = np.append(species, False)
    reached = np.where(at_species[step], step, -1)
    undecided = mask(pc.is_in(status, pa.array([UNRESOLVED, MISAPPLIED])))
    return Links(
        species=reached[:count],
        hint=np.where(undecided, reached[target], -1),  # target -1 is `nowhere`, reached -1
        dangling=int(np.count_nonzero(synonym & named & (target < 0))),
        circular=int(np.count_nonzero(synonym & (reached[:count] < 0) & (step[:count] != nowhere))),
    )


def synonyms(names: pa.Table, species_ids: pa.Array) -> pa.ListArray:
    """Return the synonyms of each of *species_ids*, from *names* (taxa.NAMES, sorted by key).

    They are the names that lead to the species even without an author, each once: first those
    of species, then those below.
    """
    keys, status = names["key"].combine_chunks(), names["status"].combine_chunks()
    owner = rows_of(names["species_id"], species_ids)
    clear = _speak_for_themselves(keys, status, owner)
    at = np.flatnonzero(clear & mask(pc.equal(status, SYNONYM)))
    below = mask(pc.greater(pc.count_substring(keys.take(pa.array(at)), " "), 1))
    at = at[np.lexsort((at, below, owner[at]))]
    spelt, owner = names["name"].combine_chunks().take(pa.array(at)), owner[at]
    again = mask(pc.equal(spelt[1:], spelt[:-1])) & (owner[1:] == owner[:-1])
    first = np.append(True, ~again)[: len(at)]
    offsets = np.searchsorted(owner[first], np.arange(len(species_ids) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), spelt.filter(pa.array(first)))


def mask(column: pa.Array) -> Mask:
    """Return a boolean column as numpy has it."""
    result: Mask = np.asarray(column)
    return result


def rows_of(wanted: pa.ChunkedArray, among: pa.ChunkedArray) -> Rows:
    """Return the first row at which each *wanted* value stands *among* others, -1 for none."""
    found = pc.fill_null(pc.index_in(wanted, value_set=among), -1)
    result: Rows = np.asarray(found).astype(np.int64)
    return result


def _owners(infraspecific: pa.Array, keys: pa.Array, species: Mask) -> Rows:
    """Return the species that each *infraspecific* key begins with, if just one accepted has it."""
    at = np.flatnonzero(species)
    binomials = keys.take(pa.array(at))
    counted = pc.value_counts(binomials)
    once = counted.field("values").filter(pc.equal(counted.field("counts"), 1))
    begins = pc.replace_substring_regex(infraspecific, r"^(\S+ \S+) .*", r"\1")
    begins = pc.if_else(pc.is_in(begins, once), begins, None)
    return np.append(at, -1)[rows_of(begins, binomials)]


def _speak_for_themselves(keys: pa.Array, status: pa.Array, species: Rows) -> Mask:
    """Tell which names lead to their species even without an author.

    *keys* must be sorted and *species* is -1 for none. Of the names that share a key, an accepted
    one goes before the others; if more than one species is left, none of them does.
    """
    count = len(keys)
    starts = np.append(0, np.flatnonzero(mask(pc.not_equal(keys[1:], keys[:-1]))) + 1)
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, count)))
    tier = np.where(mask(pc.equal(status, ACCEPTED)), 0, np.where(species >= 0, 1, 2))
    decides = (tier < 2) & (tier == np.minimum.reduceat(tier, starts)[group])
    lowest = np.minimum.reduceat(np.where(decides, species, np.iinfo(np.int64).max), starts)
    highest = np.maximum.reduceat(np.where(decides, species, -1), starts)
    result: Mask = decides & (lowest == highest)[group]
    return result
