"""One sample as it lies in a tar, `<key>.cls`, `<key>.jpg`, `<key>.json`, and what it says.

The members stand in order of suffix, as webdataset's own writer has them; `cls` comes before
every format of pictures. The key is the picture's id: webdataset cuts a key at its first dot,
so names would not do.
"""

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.json as pa_json

from flora import records, tar

ABOUT = ("species_id", "name", "source", "tier", "licence", "creator", "page_url", "url",
         "observation_id", "width", "height")  # fmt: skip
"""What a sample's JSON tells of its picture."""

AROUND = 7 * tar.BLOCK
"""About the bytes of a sample beside its picture: headers, label, JSON of up to 1 KiB, padding."""

_INDEXED = pa.schema([records.INDEX.field(name) for name in ABOUT if name in records.INDEX.names])
_JSON = "{" + ", ".join(f'"{name}": %s' for name in sorted(ABOUT)) + "}"
_columns = itemgetter(*sorted(ABOUT))


def wrap(row: Mapping[str, Any], format: str, length: int) -> tuple[bytes, bytes]:
    """Return what stands before and after a picture's *length* bytes.

    *row* has the image_id, which is the key, the label and the columns of ABOUT.
    """
    key = row["image_id"]
    before = tar.member(f"{key}.cls", b"%d" % row["label"])
    about = tar.member(f"{key}.json", (_JSON % tuple(map(_json, _columns(row)))).encode())
    head, after = tar.header(f"{key}.{format}", length), bytes(-length % tar.BLOCK)
    if format < "json":
        return before + head, after + about
    return before + about + head, after


def _json(value: str | int | None) -> str:
    if value is None:
        return "null"
    return encode_basestring(value) if isinstance(value, str) else str(value)


class Told(NamedTuple):
    """What the members around a picture tell of it."""

    key: str
    format: str
    label: int
    json: bytes


def read(before: bytes, after: bytes, length: int) -> Told:
    """Return what stands before and after a picture's *length* bytes."""
    name = before[-tar.BLOCK :].partition(b"\0")[0].decode("ascii")
    key, _, format = name.partition(".")
    label = before[tar.BLOCK : 2 * tar.BLOCK].rstrip(b"\0")
    member = before[2 * tar.BLOCK : -tar.BLOCK] or after[-length % tar.BLOCK :]
    return Told(key, format, int(label), member[tar.BLOCK :].rstrip(b"\0"))


def index(told: Sequence[Told]) -> pa.Table:
    """Return the columns of the index that samples tell themselves: it says what they do."""
    lines = pa.BufferReader(b"\n".join(each.json for each in told))
    as_indexed = pa_json.ParseOptions(explicit_schema=_INDEXED, unexpected_field_behavior="ignore")
    table = pa_json.read_json(lines, parse_options=as_indexed)
    for name in ("key", "format", "label"):
        table = table.append_column(name, pa.array([getattr(each, name) for each in told]))
    return table.append_column("image_id", table["key"])
