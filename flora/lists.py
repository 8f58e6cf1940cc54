"""Published checklists of the world's plants, read into one shape.

Three formats are known, by their header alone: ThePlantList 1.1, World Flora Online's
classification.csv (Darwin Core) and WCVP's wcvp_names.csv. A list is one file or a folder of
files of one format, each plain or gzipped. Genera, families and rows without an id are passed
over.

ThePlantList comes in two layouts. The files that its site served for each family have no
`Accepted ID`: their synonyms do not say whose they are, and stay names whose species is unknown,
unless another file of the same folder has the same id with a link.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from flora.errors import ConfigError

ACCEPTED, SYNONYM, UNRESOLVED, MISAPPLIED = "accepted", "synonym", "unresolved", "misapplied"

NAME_ROWS = pa.schema(
    {
        "id": pa.string(),
        "name": pa.string(),  # without its author
        "authorship": pa.string(),
        "genus": pa.string(),
        "family": pa.string(),
        "major_group": pa.string(),
        "status": pa.string(),  # one of the four words above
        "infraspecific": pa.bool_(),
        "accepted_id": pa.string(),  # empty where the list gives none
        "parent_id": pa.string(),
    }
)

_SUFFIXES = (".csv", ".tsv", ".txt")
_SNIFFED = 1 << 16
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """How one publisher names what we need."""

    title: str
    required: frozenset[str]
    """Column names that only this format has together."""
    columns: Mapping[str, str]
    """Our column -> theirs. One that a file lacks is empty."""
    tidy: Callable[[Mapping[str, pa.Array]], Mapping[str, pa.Array]]
    """From our columns as they stand in the file to `status`, `infraspecific`, a whole `name`."""


def read(source: Path) -> pa.Table:
    """Return every species and infraspecific name of the list at *source*, one row an id.

    An id that several files have keeps the row that links it to an accepted name. Raises
    ConfigError for a file that cannot be read, or is none of the three formats.
    """
    tables: list[pa.Table] = []
    formats: dict[str, Path] = {}
    for file in _files(source):
        form, table = _read_file(file)
        formats.setdefault(form.title, file)
        tables.append(table)
    if len(formats) > 1:
        found = ", ".join(f"{file.name} is {title}" for title, file in formats.items())
        raise ConfigError(f"{source}: mixes lists ({found}). Give the files of one list.")
    return _one_row_an_id(pa.concat_tables(tables).combine_chunks())


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = sorted(
        file
        for file in source.rglob("[!.]*")
        if file.name.lower().removesuffix(".gz").endswith(_SUFFIXES) and file.is_file()
    )
    if not files:
        raise ConfigError(
            f"{source}: holds no checklist. Put its .csv or .csv.gz files there, or name one."
        )
    return files


def _read_file(file: Path) -> tuple[_Format, pa.Table]:
    try:
        content = _bytes(file)
        header, parsing = _sniff(content)
        form = _recognise(file, header)
        wanted = {ours: theirs for ours, theirs in form.columns.items() if theirs in header}
        table = pyarrow.csv.read_csv(
            pa.py_buffer(content),
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows=1),
            parse_options=parsing,
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(wanted.values()),
                column_types=dict.fromkeys(wanted.values(), pa.string()),
                strings_can_be_null=False,
            ),
        )
        _all_quotes_closed(content, parsing, table.num_rows)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{file}: cannot be read as a checklist ({reason}). It must be a whole table in UTF-8, "
            "plain or gzipped: download it again, or save it as UTF-8."
        ) from error
    return form, _shape(form, table.rename_columns(list(wanted)).combine_chunks())


def _bytes(file: Path) -> bytes:
    """Return the whole of *file*, unpacked if it is gzipped, whatever it is called."""
    with file.open("rb") as stream:
        gzipped = stream.read(len(_GZIP)) == _GZIP
    with pa.input_stream(str(file), compression="gzip" if gzipped else None) as stream:
        content: bytes = stream.read()
    if not content or content.isspace():
        raise ValueError("it is empty")
    return content


def _sniff(content: bytes) -> tuple[list[str], pyarrow.csv.ParseOptions]:
    """Return the header and how fields are set apart.

    Commas always come with quotes. Tabs and bars do with some publishers; with others a quote
    is a letter like any other, so the first rows are looked at.
    """
    lines = content[:_SNIFFED].decode("utf-8-sig", "ignore").splitlines()
    delimiter = max(",\t|", key=lines[0].count)
    cells = [cell for line in lines for cell in line.split(delimiter)]
    quoted = delimiter == "," or any(len(c) > 1 and c[0] == c[-1] == '"' for c in cells)
    header = next(csv.reader(lines[:1], delimiter=delimiter))
    return [cell.strip() for cell in header], pyarrow.csv.ParseOptions(
        delimiter=delimiter, quote_char='"' if quoted else False
    )


def _all_quotes_closed(content: bytes, parsing: pyarrow.csv.ParseOptions, rows: int) -> None:
    """Raise ValueError where a quote may have swallowed rows: pyarrow says nothing then."""
    if not parsing.quote_char or content.count(b'"') % 2 == 0:
        return
    if content.rstrip().count(b"\n") > rows:
        raise ValueError("a quotation mark is opened and never closed")


def _recognise(file: Path, header: list[str]) -> _Format:
    for form in _FORMATS:
        if form.required.issubset(header):
            return form
    known = "; ".join(f"{form.title} ({', '.join(sorted(form.required))})" for form in _FORMATS)
    raise ConfigError(
        f"{file}: is no checklist that is known here; its columns begin with "
        f"{', '.join(header[:4])[:80]!r}. Give one of these: {known}."
    )


def _shape(form: _Format, table: pa.Table) -> pa.Table:
    """Return *table*, with our column names, as NAME_ROWS."""
    empty = pa.repeat(pa.scalar(""), table.num_rows)
    columns = dict.fromkeys([*form.columns, "parent_id", "major_group"], empty)
    for ours in table.column_names:
        columns[ours] = pc.utf8_trim_whitespace(table[ours].combine_chunks())
    columns |= form.tidy(columns)
    shaped = pa.table({name: columns[name] for name in NAME_ROWS.names}, schema=NAME_ROWS)
    wanted = pc.and_(columns["is_name"], _is_filled(columns["id"]))
    return shaped if pc.all(wanted).as_py() else shaped.filter(wanted)


def _one_row_an_id(table: pa.Table) -> pa.Table:
    """Keep one row of each id, whatever the order of the files: the one with a link, if any."""
    ids = pc.take(table["id"], pc.sort_indices(table["id"])).combine_chunks()
    if not pc.any(pc.equal(ids[1:], ids[:-1])).as_py():
        return table
    rest = [name for name in table.column_names if name not in ("id", "accepted_id")]
    order = [("id", "ascending"), ("accepted_id", "descending")]
    table = table.sort_by([*order, *((name, "ascending") for name in rest)]).combine_chunks()
    ids = table["id"].combine_chunks()
    first = pc.not_equal(ids[1:], ids[:-1])
    return table.filter(pa.concat_arrays([pa.array([True]), first]))


def _status(column: pa.Array, accepted: str, synonym: str) -> pa.Array:
    """Return *column* in our four words; *accepted* and *synonym* are patterns."""
    cases = pc.make_struct(
        *(
            pc.match_substring_regex(column, pattern, ignore_case=True)
            for pattern in (accepted, synonym, "misapplied")
        )
    )
    return pc.case_when(cases, ACCEPTED, SYNONYM, MISAPPLIED, UNRESOLVED)


def _is_filled(column: pa.Array) -> pa.Array:
    return pc.not_equal(column, "")


def _the_plant_list(columns: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
    words = ("genus_hybrid", "genus", "species_hybrid", "species", "rank", "infra")
    parts = (pc.if_else(_is_filled(columns[word]), columns[word], None) for word in words)
    return {
        "name": pc.binary_join_element_wise(*parts, " ", null_handling="skip"),
        "status": _status(columns["status"], "^accepted$", "^synonym$"),
        "infraspecific": pc.or_(_is_filled(columns["rank"]), _is_filled(columns["infra"])),
        "is_name": _is_filled(columns["species"]),
    }


def _world_flora_online(columns: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
    species = pc.match_substring_regex(columns["rank"], "^(notho)?species$", ignore_case=True)
    infraspecific = pc.and_(_is_filled(columns["infra"]), pc.invert(species))
    return {
        "status": _status(columns["status"], "^accepted$", "synonym"),
        "infraspecific": infraspecific,
        "is_name": pc.or_(species, infraspecific),
    }


def _wcvp(columns: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
    """Garden hybrids, local biotypes and the like are good species if they stand for themselves."""
    own = pc.or_(
        pc.equal(columns["accepted_id"], columns["id"]), pc.equal(columns["accepted_id"], "")
    )
    good = "^(provisionally accepted|artificial hybrid|local biotype)$"
    status = pc.if_else(
        pc.and_(own, pc.match_substring_regex(columns["status"], good, ignore_case=True)),
        ACCEPTED,
        columns["status"],
    )
    return {
        "status": _status(status, "^accepted$", "synonym|illegitimate|invalid|orthographic"),
        "infraspecific": _is_filled(columns["infra"]),
        "is_name": _is_filled(columns["species"]),
    }


_FORMATS = (
    _Format(
        title="ThePlantList 1.1",
        required=frozenset(("ID", "Genus", "Species", "Taxonomic status in TPL")),
        columns={
            "id": "ID",
            "genus_hybrid": "Genus hybrid marker",
            "genus": "Genus",
            "species_hybrid": "Species hybrid marker",
            "species": "Species",
            "rank": "Infraspecific rank",
            "infra": "Infraspecific epithet",
            "authorship": "Authorship",
            "family": "Family",
            "major_group": "Major group",
            "status": "Taxonomic status in TPL",
            "accepted_id": "Accepted ID",
        },
        tidy=_the_plant_list,
    ),
    _Format(
        title="World Flora Online",
        required=frozenset(("taxonID", "scientificName", "taxonRank", "taxonomicStatus")),
        columns={
            "id": "taxonID",
            "name": "scientificName",
            "authorship": "scientificNameAuthorship",
            "rank": "taxonRank",
            "genus": "genus",
            "infra": "infraspecificEpithet",
            "family": "family",
            "major_group": "majorGroup",
            "status": "taxonomicStatus",
            "accepted_id": "acceptedNameUsageID",
            "parent_id": "parentNameUsageID",
        },
        tidy=_world_flora_online,
    ),
    _Format(
        title="WCVP",
        required=frozenset(("plant_name_id", "taxon_name", "taxon_status")),
        columns={
            "id": "plant_name_id",
            "name": "taxon_name",
            "authorship": "taxon_authors",
            "genus": "genus",
            "species": "species",
            "infra": "infraspecies",
            "family": "family",
            "status": "taxon_status",
            "accepted_id": "accepted_plant_name_id",
            "parent_id": "parent_plant_name_id",
        },
        tidy=_wcvp,
    ),
)
