"""The big files of two sources: GBIF's Darwin Core archive, EOL's manifest and table of names.

Made anew at each start, always the same bytes.
"""

import csv
import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from demo import names
from demo.apis import licence_url
from demo.listings import Listing
from demo.mishaps import Kind
from demo.world import World

GBIF = "http://api.gbif.test/v1/occurrence/download/request/0001-demo.zip"
EOL_MANIFEST = "http://eol.test/data/media_manifest.tgz"
EOL_NAMES = "http://eol.test/data/provider_ids.csv.gz"

_DC = "http://purl.org/dc/terms/"
_DWC = "http://rs.tdwg.org/dwc/terms/"
_GBIF = "http://rs.gbif.org/terms/1.0/"
_OCCURRENCE = {
    "gbifID": _GBIF,
    "license": _DC,
    "references": _DC,
    "rightsHolder": _DC,
    "institutionCode": _DWC,
    "collectionCode": _DWC,
    "datasetName": _DWC,
    "basisOfRecord": _DWC,
    "occurrenceID": _DWC,
    "recordedBy": _DWC,
    "eventDate": _DWC,
    "countryCode": _DWC,
    "scientificName": _DWC,
    "kingdom": _DWC,
    "genus": _DWC,
    "specificEpithet": _DWC,
    "taxonRank": _DWC,
    "taxonomicStatus": _DWC,
    "mediaType": _GBIF,
    "species": _GBIF,
    "acceptedScientificName": _GBIF,
    "verbatimScientificName": _GBIF,
}
"""Some of the columns of a real archive, in its order."""
_MULTIMEDIA = {
    "gbifID": _GBIF,
    "type": _DC,
    "format": _DC,
    "identifier": _DC,
    "references": _DC,
    "title": _DC,
    "description": _DC,
    "source": _DC,
    "audience": _DC,
    "created": _DC,
    "creator": _DC,
    "contributor": _DC,
    "publisher": _DC,
    "license": _DC,
    "rightsHolder": _DC,
}


def gbif_archive(world: World) -> bytes:
    """Return the Darwin Core archive of a download: occurrences, and their pictures."""
    authors = names.authors(world.checklist)
    listed = [row for row in world.listings if row.source == "gbif"]
    records = {row.observation_id: row for row in listed}.values()
    members = {
        "meta.xml": _meta(),
        "occurrence.txt": _tsv(_OCCURRENCE, [_occurrence(row, authors) for row in records]),
        "multimedia.txt": _tsv(_MULTIMEDIA, [_medium(row) for row in listed]),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _meta() -> str:
    def table(tag: str, row_type: str, file: str, key: str, columns: Iterable[str]) -> str:
        fields = "\n".join(
            f'    <field index="{k}" term="{term}"/>' for k, term in enumerate(columns)
        )
        return (
            f'  <{tag} encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" '
            f'fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="{row_type}">\n'
            f"    <files>\n      <location>{file}</location>\n    </files>\n"
            f'    <{key} index="0" />\n{fields}\n  </{tag}>\n'
        )

    core = (space + name for name, space in _OCCURRENCE.items())
    media = (space + name for name, space in _MULTIMEDIA.items())
    return (
        '<archive xmlns="http://rs.tdwg.org/dwc/text/">\n'
        + table("core", f"{_DWC}Occurrence", "occurrence.txt", "id", core)
        + table("extension", f"{_GBIF}Multimedia", "multimedia.txt", "coreid", media)
        + "</archive>\n"
    )


def _tsv(columns: Iterable[str], rows: Iterable[Mapping[str, str | None]]) -> str:
    columns = list(columns)
    lines = ["\t".join(columns)]
    for row in rows:  # as GBIF does: what would break a line or a column becomes a space
        lines.append("\t".join(" ".join((row.get(column) or "").split()) for column in columns))
    return "\n".join(lines) + "\n"


def _occurrence(row: Listing, authors: Mapping[str, str]) -> dict[str, str | None]:
    pressed = row.kind is Kind.SPECIMEN
    words = [word for word in row.listed_name.split() if word != "×"]
    accepted = row.listed_species or ""
    return {
        "gbifID": row.observation_id,
        "license": "CC_BY_NC_4_0",
        "references": f"https://www.inaturalist.test/observations/{row.observation_id}",
        "rightsHolder": row.creator,
        "institutionCode": "HERB" if pressed else "iNaturalist",
        "collectionCode": "Sheets" if pressed else "Observations",
        "datasetName": "A herbarium" if pressed else "iNaturalist research-grade observations",
        "basisOfRecord": "PRESERVED_SPECIMEN" if pressed else "HUMAN_OBSERVATION",
        "occurrenceID": f"https://www.inaturalist.test/observations/{row.observation_id}",
        "recordedBy": row.creator,
        "eventDate": "2018-06-24T10:00:00",
        "countryCode": "ZZ",
        "scientificName": _with_author(row.listed_name, authors),
        "kingdom": "Plantae",
        "genus": words[0],
        "specificEpithet": words[1] if len(words) > 1 else "",
        "taxonRank": "SPECIES" if len(words) < 3 else "VARIETY",
        "taxonomicStatus": "ACCEPTED" if row.listed_name == accepted else "SYNONYM",
        "mediaType": "StillImage",
        "species": accepted,
        "acceptedScientificName": _with_author(accepted, authors),
        "verbatimScientificName": row.listed_name,
    }


def _with_author(name: str, authors: Mapping[str, str]) -> str:
    return f"{name} {authors.get(name, '')}".strip()


def _medium(row: Listing) -> dict[str, str | None]:
    return {
        "gbifID": row.observation_id,
        "type": "StillImage",
        "format": "image/jpeg",
        "identifier": row.url,
        "references": row.page_url,
        "created": "2018-06-24T10:00:00Z",
        "creator": row.creator,
        "publisher": "iNaturalist",
        "license": licence_url(row.licence),
        "rightsHolder": row.creator,
    }


def eol_manifest(world: World) -> bytes:
    """Return media_manifest.tgz: the media in CSV files, by page id and without names."""
    header = (
        *("EOL content ID", "EOL page ID", "Medium Source URL", "EOL Full-Size Copy URL"),
        *("License Name", "Copyright Owner"),
    )
    pages = _eol_pages(world)
    rows = [
        (
            *(900_000_000 + number, pages[row.listed_name], row.page_url, row.url),
            *(_eol_licence(row.licence), row.creator),
        )
        for number, row in enumerate(world.listings)
        if row.source == "eol"
    ]
    half = -(-len(rows) // 2)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for part, some in enumerate((rows[:half], rows[half:]), 1):
            data = _csv([header, *some])
            member = tarfile.TarInfo(f"media_manifest_{part}.csv")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def eol_names(world: World) -> bytes:
    """Return provider_ids.csv.gz: which page is which name, once a provider."""
    header = ("node_id", "resource_pk", "resource_id", "page_id", "preferred_canonical_for_page")
    rows: list[Sequence[object]] = [header, (1, "Plantae", 1, 281, "Plantae")]
    for number, (name, page) in enumerate(_eol_pages(world).items()):
        for resource in (457, 724):
            key = f"{resource}-{number}"
            rows.append((60_000_000 + 1000 * number + resource, key, resource, page, name))
    return gzip.compress(_csv(rows), mtime=0)


def _eol_pages(world: World) -> dict[str, int]:
    listed = sorted({row.listed_name for row in world.listings if row.source == "eol"})
    return {name: 45_000_000 + number for number, name in enumerate(listed)}


def _eol_licence(licence: str | None) -> str:
    return {"pdm-1.0": "pd", "cc0-1.0": "cc0-1.0", None: ""}.get(licence, f"cc-{licence}")


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet, lineterminator="\n").writerows(rows)
    return sheet.getvalue().encode()
