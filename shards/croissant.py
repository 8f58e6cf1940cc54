"""croissant.json: files, checksums and fields of the shards, for programs.

Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html), JSON-LD over
schema.org. A file is named relative to croissant.json; a tar's members are a file set of their
own, so that `pictures` joins the bytes of each image with its row of the index.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flora import records
from shards.census import Census
from shards.licences import deed

Node = dict[str, Any]

MIME = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
_PARQUET = "application/x-parquet"
_TYPES = {"string": "sc:Text", "int32": "sc:Integer", "int64": "sc:Integer"}

_WORDS = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset",
    "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
"""Words of the format that are no words of schema.org."""

_CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    **{word: f"cr:{word}" for word in _WORDS},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
}


def describe(folder: Path, census: Census) -> Node:
    """Return the JSON-LD about the shards of *folder*.

    What only a publisher knows (address, version, citation) is for them to add. Its date is that
    of the last picture: a clock would give other bytes at each run.
    """
    licences = [deed(licence) for licence, _ in census.licences]
    dated = {"datePublished": census.fetched[0][1]} if census.fetched else {}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "worldflora",
        "description": f"{census.pictures:,} pictures of {census.species:,} plant species from "
        "the web, without near-duplicates, split by observation, as WebDataset tars.",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "license": [each for each in licences if each] or ["credits.csv"],
        **dated,
        "keywords": ["plants", "species", "image classification", "biodiversity"],
        "distribution": [*_files(folder, census), _pictures(census)],
        "recordSet": [
            _records("classes", "A species each: what a label means.", "label", [
                _column("classes", "classes.parquet", each) for each in records.CLASSES
            ]),
            _records("index", "A picture each: where it lies and whose it is.", "key", [
                _column("index", "index.parquet", each) for each in records.INDEX
            ]),
            _joined(),
        ],
    }  # fmt: skip


def _files(folder: Path, census: Census) -> Iterable[Node]:
    for name in ("index.parquet", "classes.parquet"):
        with (folder / name).open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        yield _file(folder / name, _PARQUET, checksum)
    for name, checksum in census.shards.items():
        yield _file(folder / name, "application/x-tar", checksum)


def _file(path: Path, encoding: str, checksum: str) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": checksum,
    }


def _pictures(census: Census) -> Node:
    formats = [name for name, _ in census.formats]
    mimes = [MIME[name] for name in formats]
    return {
        "@type": "cr:FileSet",
        "@id": "tars",
        "name": "tars",
        "description": "The pictures in all tars; each file is named by its key.",
        "containedIn": [{"@id": name} for name in census.shards],
        "encodingFormat": mimes[0] if len(mimes) == 1 else mimes,
        "includes": [f"*.{name}" for name in formats],
    }


def _records(name: str, description: str, key: str, fields: list[Node]) -> Node:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": {"@id": f"{name}/{key}"},
        "field": fields,
    }


def _field(record: str, name: str, kind: str, source: Node) -> Node:
    return {
        "@type": "cr:Field",
        "@id": f"{record}/{name}",
        "name": name,
        "dataType": kind,
        "source": source,
    }


def _column(record: str, file: str, column: Any) -> Node:
    """Return the field of *record* that is a column of the table *file*."""
    source = {"fileObject": {"@id": file}, "extract": {"column": column.name}}
    field = _field(record, column.name, _TYPES[str(column.type)], source)
    if (record, column.name) == ("index", "label"):
        field["references"] = {"field": {"@id": "classes/label"}}
    return field


def _joined() -> Node:
    """Return the record set of images, each with what the index knows of it."""
    of_file = {
        "fileSet": {"@id": "tars"},
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": r"^(?:.*/)?([^./]+)\.[^./]+$"},
    }
    content = {"fileSet": {"@id": "tars"}, "extract": {"fileProperty": "content"}}
    key = _field("pictures", "key", "sc:Text", of_file)
    key["references"] = {"field": {"@id": "index/key"}}
    told = ("label", "species_id", "split", "source", "tier", "licence", "creator", "page_url")
    return _records("pictures", "A picture each, with its bytes.", "key", [
        key,
        _field("pictures", "image", "sc:ImageObject", content),
        *(
            _field("pictures", name, _TYPES[str(records.INDEX.field(name).type)],
                   {"field": {"@id": f"index/{name}"}})
            for name in told
        ),
    ])  # fmt: skip
