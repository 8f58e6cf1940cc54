from pathlib import Path
from typing import Any

import numpy as np

from dedup import listings, verdicts
from dedup.candidates import Edges
from dedup.config import DedupSettings
from dedup.stars import Neighbours, stars
from dedup.verdicts import REASONS, Claims, Court
from flora import records
from flora.ids import to_hex
from flora.records import Tier

WEB, CITIZEN, EXPERT = Tier.WEB, Tier.CITIZEN, Tier.EXPERT
GENERA = {"s": "Quercus", "t": "Quercus", "u": "Fagus"}

Claim = tuple[str, Tier, str]


def court(
    folder: Path,
    pictures: dict[str, tuple[int, list[Claim]]],
    edges: tuple[str, ...] = (),
    **settings: Any,
) -> Court:
    """What judges *pictures*: letter -> pixels, and who lists it; *edges* like "ab"."""
    rows = [
        {**dict.fromkeys(records.IMAGES.names), "image_id": letter * 64, "species_id": species,
         "tier": str(tier), "url": f"https://{site}/{letter}{n}.jpg", "source": site,
         "status": "kept", "length": pixels, "width": pixels, "height": 1, "phash": 0,
         "pdq": bytes(32), "quality": 100}
        for letter, (pixels, claims) in pictures.items()
        for n, (species, tier, site) in enumerate(claims)
    ]  # fmt: skip
    records.write(folder / "tables" / "a.parquet", records.table(records.IMAGES, rows))
    found, listed = listings.load(folder)
    letters = [name[0] for name in to_hex(found.ids).to_pylist()]
    ends = np.array([[letters.index(end) for end in edge[:2]] for edge in edges], np.int32)
    ends = ends.reshape(-1, 2)
    some = np.full(len(ends), 2, np.uint16)
    return Court(
        images=folder, listings=listed, place=listings.priority(found),
        edges=Edges(i=ends[:, 0], j=ends[:, 1], distance=some, phash_distance=some,
                    mirrored=np.array([edge[2:] == "m" for edge in edges], np.bool_),
                    answer=some.astype(np.uint8)),
        removed={}, genera=GENERA, settings=DedupSettings(**settings),
    )  # fmt: skip


def judge(folder: Path, *args: Any, **settings: Any) -> dict[str, tuple[str, str | None]]:
    """Picture and species -> reason, and the keeper."""
    here = court(folder, *args, **settings)
    return read(here.judge(), here)


def read(claims: Claims, here: Court) -> dict[str, tuple[str, str | None]]:
    letters = sorted({url for url in _letters(here)})
    return {
        letters[picture] + (here.listings.species_ids[species].as_py() if species >= 0 else "-"): (
            str(REASONS[reason]), letters[keeper] if keeper >= 0 else None,
        )
        for picture, species, reason, keeper in zip(
            claims.picture.tolist(), claims.species.tolist(), claims.reason.tolist(),
            claims.keeper.tolist(), strict=True,
        )
    }  # fmt: skip


def _letters(here: Court) -> set[str]:
    table = records.read(here.images / "tables", records.IMAGES, ["image_id"])
    return {name[0] for name in table["image_id"].to_pylist()}


def test_a_picture_alone_stays(tmp_path: Path) -> None:
    assert judge(tmp_path, {"a": (1, [("s", WEB, "x")])}) == {"as": ("unique", "a")}


def test_the_copy_yields_to_the_larger_picture(tmp_path: Path) -> None:
    two = {"a": (50, [("s", WEB, "x")]), "b": (500, [("s", WEB, "y")])}
    assert judge(tmp_path, two, ("ab",)) == {"bs": ("keeper", "b"), "as": ("near_duplicate", "b")}


def test_tier_counts_more_than_size(tmp_path: Path) -> None:
    two = {"a": (50, [("s", EXPERT, "x")]), "b": (500, [("s", WEB, "y")])}
    assert judge(tmp_path, two, ("abm",)) == {"as": ("keeper", "a"), "bs": ("mirrored", "a")}


def test_nothing_goes_without_an_edge_to_its_own_keeper(tmp_path: Path) -> None:
    chain = {letter: (500 - k, [("s", WEB, "x")]) for k, letter in enumerate("abcdef")}
    found = judge(tmp_path, chain, ("ab", "bc", "cd", "de", "ef"))
    stays = [key for key, (reason, _) in found.items() if reason == "keeper"]
    assert stays == ["as", "cs", "es"]
    assert found["ds"] == ("near_duplicate", "c")


def test_every_copy_has_an_edge_to_its_keeper_in_any_web_of_edges() -> None:
    rng = np.random.default_rng(1)
    ends = np.unique(rng.integers(0, 300, (500, 2)).astype(np.int32), axis=0)
    ends = ends[ends[:, 0] != ends[:, 1]]
    some = np.zeros(len(ends), np.uint16)
    edges = Edges(i=ends[:, 0], j=ends[:, 1], distance=some, phash_distance=some,
                  mirrored=some > 0, answer=some.astype(np.uint8))  # fmt: skip
    place = rng.permutation(300).astype(np.int32)
    keeper, via = stars(place, Neighbours.of(edges, 300))
    for picture in range(300):
        best = keeper[picture]
        if best == picture:
            assert via[picture] == -1
        else:
            assert {picture, best} == set(ends[via[picture]].tolist())
            assert keeper[best] == best
            assert place[best] < place[picture]
    stay = keeper[ends] == ends
    assert not stay.all(axis=1).any()  # no two that stay are the same picture


def test_one_trusted_source_names_the_species(tmp_path: Path) -> None:
    found = judge(tmp_path, {"a": (1, [("s", WEB, "x"), ("s", WEB, "z"), ("t", CITIZEN, "y")])})
    assert found == {"at": ("unique", "a"), "as": ("outvoted", "a")} or found == {
        "at": ("keeper", "a"), "as": ("outvoted", "a")}  # fmt: skip


def test_trusted_sources_that_disagree_keep_the_genus_at_most(tmp_path: Path) -> None:
    two = {
        "a": (1, [("s", CITIZEN, "x"), ("t", EXPERT, "y")]),
        "b": (1, [("s", CITIZEN, "x"), ("u", CITIZEN, "y")]),
    }
    here = court(tmp_path, two)
    claims = here.judge()
    assert {reason for reason, _ in read(claims, here).values()} == {"quarantine"}
    assert claims.genus == {0: "Quercus", 1: "Quercus", 2: "", 3: ""}


def test_on_the_web_twice_the_domains_are_a_majority(tmp_path: Path) -> None:
    found = judge(tmp_path, {
        "a": (1, [("s", WEB, "x"), ("s", WEB, "y"), ("t", WEB, "z")]),
        "b": (1, [("s", WEB, "x"), ("s", WEB, "x"), ("t", WEB, "z")]),
    })  # fmt: skip
    assert found["as"][1] == "a"
    assert found["at"] == ("outvoted", "a")
    assert found["bs"] == found["bt"] == ("conflict", None)


def test_a_picture_of_three_species_is_a_placeholder(tmp_path: Path) -> None:
    found = judge(tmp_path, {"a": (1, [(species, EXPERT, "x") for species in "stu"])})
    assert set(found.values()) == {("placeholder", None)}


def test_a_picture_at_a_thousand_addresses_is_a_placeholder(tmp_path: Path) -> None:
    crowd = {letter: (9, [("s", WEB, f"x{n}") for n in range(3)]) for letter in "abc"}
    found = judge(tmp_path, crowd, ("ab", "ac"), placeholder_copies=9)
    assert set(found.values()) == {("placeholder", None)}
    found = judge(tmp_path / "2", crowd, ("ab", "ac"), placeholder_copies=10)
    assert found["as"] == ("keeper", "a")


def test_where_the_best_picture_loses_its_species_another_stays(tmp_path: Path) -> None:
    found = judge(tmp_path, {  # the largest is listed as t; three sites say s
        "a": (900, [("t", WEB, "w")]),
        "b": (500, [("s", WEB, "x"), ("s", WEB, "v")]),
        "c": (400, [("s", WEB, "z")]),
    }, ("ab", "ac"))  # fmt: skip
    assert found["as" if "as" in found else "at"] == ("outvoted", "b")
    assert found["bs"] == ("keeper", "b")
    assert found["cs"] == ("keeper", "c")  # it was never compared with b


def test_pictures_without_a_species_are_judged_too(tmp_path: Path) -> None:
    found = judge(tmp_path, {
        "a": (9, [(None, WEB, "x")]),  # type: ignore[list-item]
        "b": (5, [(None, WEB, "y"), ("s", WEB, "z")]),  # type: ignore[list-item]
        "c": (5, [(None, WEB, "y")]),  # type: ignore[list-item]
    }, ("ab",))  # fmt: skip
    assert found["c-"] == ("unique", "c")
    assert found["bs"] == ("keeper", "b")
    assert found["a-"] == found["b-"] == ("outvoted", "b")


def test_conflicts_tell_how_noisy_the_labels_of_a_source_are(tmp_path: Path) -> None:
    here = court(tmp_path, {
        "a": (1, [("s", EXPERT, "good"), ("t", WEB, "bad")]),
        "b": (1, [("s", EXPERT, "good"), ("s", WEB, "bad")]),
        "c": (1, [("s", WEB, "bad")]),
        "d": (1, [("s", WEB, "even"), ("t", WEB, "odd")]),
        "e": (1, [(species, WEB, "bad") for species in "stu"]),
    })  # fmt: skip
    found = {str(row["source"]): row for row in verdicts.noise(here.listings, here.judge())}
    assert found["bad"] == {
        "source": "bad", "listings": 6, "checked": 2, "conflicts": 1, "noise": 0.5,
    }  # fmt: skip
    assert found["good"]["noise"] == 0
    assert found["even"]["noise"] == found["odd"]["noise"] == 0.5
