"""README.md of the shards: a dataset card for people, with the header that the Hub reads.

Its YAML is that of Hugging Face's dataset cards (https://huggingface.co/docs/hub/datasets-cards):
`load_dataset(folder)` finds splits and columns in it. The columns are spelt out because the
library would guess them from five samples, and a picture may be PNG, or an observation known,
only in the sixth.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flora.console import size
from shards.census import ENDS, Census
from shards.config import ShardSettings
from shards.licences import deed, hub
from shards.markdown import cell, link, table
from shards.plates import Plate
from shards.split import TEST, TRAIN, VAL

_HUB_SPLITS = {TRAIN: "train", VAL: "validation", TEST: "test"}
_ANNOTATORS = {"expert": "expert-generated", "citizen": "crowdsourced", "web": "found"}
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
          (10**7, "1M<n<10M"), (10**8, "10M<n<100M"))  # fmt: skip
_LICENCES_SHOWN = 30

_SAMPLES = """\
A sample is three files with one key, the sha256 of the picture as it was fetched:
`<key>.cls`, its label in digits; {members}; `<key>.json`, where it is from and whose it is.
Labels count from 0; `classes.parquet` says which species each is. `index.parquet` has a row for
every picture, in the order of the tars, with the shard, the byte and the length where it lies.
The order is shuffled over all pictures of a split: reading the tars one after the other is fine.

With webdataset:

```python
import webdataset

tars = "{first}"
pictures = webdataset.WebDataset(tars, shardshuffle=False).decode("pil")
sample = next(iter(pictures))
image, label, about = sample["{format}"], sample["cls"], sample["json"]
```

With Hugging Face's datasets:

```python
from datasets import load_dataset

pictures = load_dataset("path/of/this/folder", split="{hub_split}", streaming=True)
sample = next(iter(pictures))
image, label, about = sample["{format}"], sample["cls"], sample["json"]
```

With no library, one picture:

```python
import pyarrow.parquet

index = pyarrow.parquet.read_table("index.parquet", filters=[("split", "==", "{split}")])
row = index.slice(0, 1).to_pylist()[0]
with open(row["shard"], "rb") as shard:
    shard.seek(row["offset"])
    picture = shard.read(row["length"])
```

`sha256sum --check SHA256SUMS` tells whether all tars are whole. `croissant.json` says all this to
programs (Croissant 1.1)."""

_RIGHTS = """\
**Each picture is under its own licence, and whether you may use it is for you to judge.** Most
ask you to name the creator; many forbid commercial use; a picture without a licence is not free,
its source only does not say. `credits.csv` names creator, licence and page of every picture, as
their source words them; so do `index.parquet` and each sample's JSON. To keep to some licences,
choose by the column `licence` of `index.parquet`.{changed}

Servers were asked by a robot that says who sends it, as robots.txt allows. What was reserved
against text and data mining, or for machine learning, by a header, a file of the site or a mail
to the operator, is not here: the table of refusals counts it as `opted_out`. **If a picture is
yours and should not be here**, tell whoever gave you this dataset, with its key or its address;
they put the address on the crawler's opt-out list, and the next build is without it."""

_FILES = """\
| file | what |
| --- | --- |
| {tars} | the pictures |
| index.parquet | a row for every picture |
| classes.parquet | a row for every label |
| counts.parquet | pictures by species, split and tier |
| credits.csv | creator, licence and page of every picture |
| datasheet.md | how the dataset came to be, and what it is not for |
| croissant.json | metadata for programs |
| SHA256SUMS | checksums of the tars |
| pictures/ | the contact sheets above |"""


def compose(folder: Path, census: Census, settings: ShardSettings, plates: Sequence[Plate]) -> str:
    """Return README.md for the shards of *folder*."""
    return "\n\n".join(
        [
            _header(folder, census),
            f"# {census.pictures:,} pictures of {census.species:,} plant species",
            _summary(census, settings),
            *(_plate(plate) for plate in plates),
            "## What is in it",
            *_contents(census),
            "## How to read it",
            _reading(census),
            "## Licences, credits, opting out",
            _rights(settings),
            table(["licence", "pictures"], _licences(census)),
            "## What was left out",
            _left_out(census),
            "## Files",
            _FILES.format(tars=", ".join(f"{split}-*.tar" for split, *_ in census.splits)),
            "",
        ]
    )


def _header(folder: Path, census: Census) -> str:
    """Return the YAML; strings stand in it as JSON has them, which is YAML too."""
    lines = ["---", "pretty_name: worldflora", "license:"]
    ids = sorted({hub(licence) for licence, _ in census.licences})
    lines += [f"- {each}" for each in ids]
    if "other" in ids:
        lines += ["license_name: per-picture", "license_link: credits.csv"]
    annotators = sorted({_ANNOTATORS.get(tier, "found") for tier, *_ in census.tiers})
    lines += ["annotations_creators:", *(f"- {each}" for each in annotators)]
    lines += ["task_categories:", "- image-classification"]
    lines += ["task_ids:", "- multi-class-image-classification"]
    large = next((name for most, name in _SIZES if census.pictures < most), "100M<n<1B")
    lines += ["size_categories:", f"- {large}"]
    lines += ["tags:", "- plants", "- biodiversity", "- webdataset"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split, *_ in census.splits:
        lines += [f"  - split: {_HUB_SPLITS[split]}", f"    path: {split}-*.tar"]
    lines += ["dataset_info:", "  features:", *_features(folder, census), "---"]
    return "\n".join(lines)


def _features(folder: Path, census: Census) -> Iterator[str]:
    columns = {"cls": "int64", **{format: "image" for format, _ in sorted(census.formats)}}
    for name, kind in columns.items():
        yield from (f"  - name: {name}", f"    dtype: {kind}")
    yield from ("  - name: json", "    struct:")
    for name, value in _first_json(folder / next(iter(census.shards))).items():
        kind = "int64" if isinstance(value, int) else "string"
        yield from (f"    - name: {json.dumps(name)}", f"      dtype: {kind}")
    for name in ("__key__", "__url__"):
        yield from (f"  - name: {name}", "    dtype: string")


def _first_json(shard: Path) -> dict[str, Any]:
    """Return what the first sample of *shard* tells: which keys there are, and of what type."""
    with tarfile.open(shard, "r:") as tar:
        member = next(each for each in tar if each.name.endswith(".json"))
        file = tar.extractfile(member)
        assert file is not None
        return dict(json.load(file))


def _summary(census: Census, settings: ShardSettings) -> str:
    (_, small), (side, length), (_, large) = census.sizes
    form = (
        f"Pictures are JPEGs of at most {settings.side} pixels on the shorter side, upright, in "
        "sRGB, without metadata, stored with restart markers so that a part can be decoded alone."
        if settings.form == "train"
        else "Pictures are the bytes that their servers gave."
    )
    return (
        f"Pictures of plants from the web, gathered by accepted species name, without "
        f"near-duplicates. {form} Half of them have {side:,} pixels or more on the shorter side "
        f"and {size(length)} or more; nine of ten are between {size(small)} and {size(large)}. "
        f"Seed {settings.seed} decided split and order."
    )


def _plate(plate: Plate) -> str:
    rows = [
        (
            cell(species),
            link(cell(creator) or "not named", page),
            link(cell(licence), deed(licence)),
        )
        for species, creator, licence, page in plate.credits
    ]
    return (
        f"![One picture each of {plate.shows}]({plate.path})\n\n<details><summary>Credits: "
        f"{plate.shows}, line by line (cropped and scaled)</summary>\n\n"
        f"{table(['species', 'creator', 'licence'], rows)}\n\n</details>"
    )


def _contents(census: Census) -> Iterator[str]:
    splits = [
        (split, pictures, species, shards, size(length))
        for split, pictures, species, shards, length in census.splits
    ]
    yield table(["split", "pictures", "species", "shards", "bytes of pictures"], splits)
    yield (
        "Pictures of one observation, and pictures that are nearly one, are in one split. A "
        "picture's tier says how far its label can be trusted:"
    )
    tiers = [(tier, *(number or 0 for number in numbers)) for tier, *numbers in census.tiers]
    yield table(["tier", "pictures", "species", "train", "val", "test"], tiers)
    yield table(
        ["source", "tier", "pictures", "species"],
        [(cell(source), cell(tier), *numbers) for source, tier, *numbers in census.sources],
    )
    yield "Most species have few pictures:"
    yield table(
        ["training pictures", "species", "pictures in all"],
        [(cell(bin), *numbers) for bin, *numbers in census.spread],
    )
    for title, rows in (("The head", census.head), ("The tail", census.tail)):
        if rows is census.tail and census.species <= ENDS:
            continue  # all of them are in the head
        some = [(f"_{cell(name)}_", *numbers) for name, *numbers, _ in rows]
        yield f"{title}:\n\n{table(['species', 'pictures', 'train', 'val', 'test'], some)}"
    yield "All species are in `counts.parquet`."


def _reading(census: Census) -> str:
    formats = [name for name, _ in census.formats]
    split, first = next(iter(census.splits))[0], next(iter(census.shards))
    last = [name for name in census.shards if name.startswith(split)][-1]
    span = f"{split}-{{{first[-10:-4]}..{last[-10:-4]}}}.tar" if last != first else first
    return _SAMPLES.format(
        members=" or ".join(f"`<key>.{name}`" for name in formats) + ", the picture",
        first=span,
        format=formats[0],
        split=split,
        hub_split=_HUB_SPLITS[split],
    )


def _rights(settings: ShardSettings) -> str:
    changed = (
        f" The pictures were scaled to {settings.side} pixels and encoded anew: who passes them "
        "on under a licence that asks for it says so."
        if settings.form == "train"
        else ""
    )
    return _RIGHTS.format(changed=changed)


def _licences(census: Census) -> Iterator[tuple[str, int]]:
    for licence, pictures in census.licences[:_LICENCES_SHOWN]:
        yield link(cell(licence) or "not stated", deed(licence)), pictures
    if rest := census.licences[_LICENCES_SHOWN:]:
        yield f"{len(rest):,} others", sum(pictures for _, pictures in rest)


def _left_out(census: Census) -> str:
    listed = sum(number for _, _, number in census.refusals)
    kept = sum(number for _, status, number in census.refusals if status == "kept")
    judged = [row for row in census.verdicts if row[0] != "keep"]
    often = f", most often as `{judged[0][1]}`" if judged else ""
    return (
        f"Of {listed:,} listings {listed - kept:,} gave no picture that could be used. "
        f"{sum(row[2] for row in judged):,} pictures were not kept under a species{often}. "
        "[datasheet.md](datasheet.md) counts both by reason."
    )
