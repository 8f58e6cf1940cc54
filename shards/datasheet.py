"""datasheet.md: how the dataset came to be, what is in it, and what it is not for.

The order of its questions is that of Gebru et al., "Datasheets for Datasets" (2018,
arXiv:1803.09010): motivation, composition, collection, cleaning, uses, distribution, upkeep.
"""

from collections import Counter
from collections.abc import Iterator

from flora.console import size
from flora.records import KEPT, Reason, Tier
from shards.census import Census
from shards.config import ShardSettings
from shards.markdown import cell, table

_WHY = {
    Reason.UNIQUE: "no other picture is nearly the same",
    Reason.KEEPER: "the best of several that are nearly one",
    Reason.NEAR_DUPLICATE: "nearly the same as its keeper",
    Reason.MIRRORED: "the same as its keeper, left for right",
    Reason.OUTVOTED: "another species has the better claim to it",
    Reason.CONFLICT: "listed under several species, none by a clear majority",
    Reason.PLACEHOLDER: "shown for so many species that it shows none",
    Reason.HOLDOUT: "also in the evaluation set, or near a picture of it",
    Reason.QUARANTINE: "trusted sources disagree on the species",
    Reason.LOW_INFORMATION: "blank, or nearly so",
}

_SHEET = """\
# Datasheet

After Gebru et al., *Datasheets for Datasets* (arXiv:1803.09010). Every number is counted from the
tables that the job left, by the program that wrote this page.

## Motivation

To train and measure classifiers that name plants among all accepted species, not among the few
thousand that benchmarks have. It was built by a program, worldflora, from a checklist of names:
nobody chose or looked at the pictures one by one. Who ran it, and who paid for that, is for them
to add here.

## Composition

An instance is a picture with one label, an accepted species. There are {pictures:,} of them, of
{species:,} species, {bytes} in all. It is no random sample of anything: species that people like
to photograph, and places where they do, have the most pictures.

{spread}

A label is what a source lists the picture under; how far it can be trusted is its tier. **Some
labels are wrong.**

{tiers}

There are {splits_n} splits. Pictures of one observation, or of one cluster of near-duplicates, are
in one of them. {shares}

{splits}

Pictures may show people, places, and hands that hold leaves; nobody looked for them. Creators'
names are personal data and are kept, because licences ask for them: {creators:,} creators are
named, {nameless:,} pictures have no creator, {pageless:,} no page and {licenceless:,} no licence.

## Collection

{fetched}Sources were asked for each accepted name (and, for species that stayed below the target,
for its synonyms) through their interfaces or published archives; then each listed address was
fetched, within its host's robots.txt, opt-outs and limits. What became of the listings:

{statuses}

{refusals}

## Cleaning

Bytes were decoded in full when they came; what was truncated, tiny, huge or no picture was refused
(above). Pictures were compared by perceptual hashes, and where those left doubt by their aligned
pixels. What became of them, once for each species they were listed under:

{verdicts}

Of those to be kept {left_out:,} are in no shard{left_out_why}.{unformed} {form} Nothing else was
done to the pictures: none was cropped, turned by hand, or labelled anew. What was removed is in the
tables of the job (`images/`, `verdicts/`), each row with its reason.

## Uses

For training and testing classifiers of plant species, for studying long tails and wrong labels.
Not for deciding what may be eaten, for medicine, or for any decision where a wrong name does harm,
without somebody who knows plants. A model trained on it knows common species of well-photographed
countries better than others: report results by number of training pictures, not only as a mean.
Test labels come from the same sources as training labels and share their mistakes.

## Distribution

Each picture is under its own licence, as `credits.csv` has it. The dataset as a whole gives no
right to any picture. Whether it may be passed on, and in which part, is to be judged by those
licences: {licences}.

## Upkeep

A new run of the same program brings a new build; this one is not changed. Creators who want a
picture out of the next build tell its key or address to whoever gave them this one. Key and
checksum of each shard (`SHA256SUMS`, `make shards VERIFY=1`) say which build a copy is of.
"""


def compose(census: Census, settings: ShardSettings) -> str:
    """Return datasheet.md."""
    (creators, nameless, pageless, licenceless), (left_out,) = census.owners[0], census.left_out[0]
    return _SHEET.format(
        pictures=census.pictures,
        species=census.species,
        bytes=size(census.bytes),
        spread=table(
            ["training pictures of a species", "species", "pictures"],
            [(cell(bin), *numbers) for bin, *numbers in census.spread],
        ),
        tiers=table(
            ["tier", "pictures", "species"],
            [(cell(tier), pictures, species) for tier, pictures, species, *_ in census.tiers],
        ),
        splits_n=len(census.splits),
        shares=_shares(settings),
        splits=table(
            ["split", "pictures", "species"],
            [(split, pictures, species) for split, pictures, species, *_ in census.splits],
        ),
        creators=creators,
        nameless=nameless,
        pageless=pageless,
        licenceless=licenceless,
        fetched="".join(f"From {first} to {last} (UTC). " for first, last in census.fetched),
        statuses=_statuses(census),
        refusals=_refusals(census),
        verdicts=table(
            ["verdict", "reason", "which is", "pictures"],
            [
                (cell(verdict), cell(reason), _WHY.get(reason, ""), number)
                for verdict, reason, number in census.verdicts
            ],
        ),
        left_out=left_out,
        left_out_why=_left_out_why(settings),
        unformed="".join(
            f" {number:,} could not be brought into their form ({cell(reason)})."
            for reason, number in census.unformed.items()
        ),
        form=_form(settings),
        licences=", ".join(
            f"{cell(licence) or 'none stated'} ({number:,})"
            for licence, number in census.licences[:10]
        ),
    )


def _shares(settings: ShardSettings) -> str:
    return (
        f"A species with {settings.min_images:,} pictures or more gives about {settings.val:.0%} "
        f"of them to val and {settings.test:.0%} to test; a rarer one gives all to train. "
        f"Seed {settings.seed} decided which, and the order."
    )


def _statuses(census: Census) -> str:
    """Return a table of sources: how many of their listings were kept."""
    listed, kept = Counter[str](), Counter[str]()
    for source, status, number in census.refusals:
        listed[source] += number
        kept[source] += number * (status == KEPT)
    sources = sorted(listed, key=lambda source: (-listed[source], source))
    rows = [(cell(each), listed[each], kept[each], listed[each] - kept[each]) for each in sources]
    return table(["source", "listings", "kept", "refused"], rows)


def _refusals(census: Census) -> str:
    """Return a table of refusals, a line a source and reason; or that there are none."""
    rows = [
        (cell(source), cell(status), number)
        for source, status, number in census.refusals
        if status != KEPT
    ]
    return table(["source", "refused as", "listings"], rows) if rows else "None was refused."


def _left_out_why(settings: ShardSettings) -> str:
    reasons = list(_limits(settings))
    return f" ({'; '.join(reasons)})" if reasons else ""


def _limits(settings: ShardSettings) -> Iterator[str]:
    if settings.max_images:
        yield f"a species gives {settings.max_images:,} pictures to training at most"
    if len(settings.tiers) < len(Tier):
        yield f"only these tiers enter: {', '.join(settings.tiers)}"


def _form(settings: ShardSettings) -> str:
    if settings.form == "original":
        return "The pictures are stored as they were fetched, byte by byte."
    return (
        f"The others were turned upright and into sRGB, scaled to {settings.side} pixels on the "
        f"shorter side where they were larger, and stored as JPEG (quality {settings.quality} "
        "where they were made smaller) with restart markers and without metadata."
    )
