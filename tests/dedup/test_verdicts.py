from dedup.verdicts import Image, judge
from flora.records import Tier


def image(name: str, *claims: tuple[str, Tier, str], pixels: int = 100) -> Image:
    return Image(
        image_id=name,
        pixels=pixels,
        bytes=pixels,
        claims=[(species, str(tier), domain) for species, tier, domain in claims],
    )


def verdicts(
    *images: Image, edges: tuple[tuple[str, str], ...] = ()
) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    found = judge({each.image_id: each for each in images}, dict.fromkeys(edges, 2), 3)
    return {
        (row["image_id"], row["species_id"]): (row["verdict"], row["reason"], row["keeper_id"])
        for row in found
    }


WEB, CITIZEN, EXPERT = Tier.WEB, Tier.CITIZEN, Tier.EXPERT


def test_a_picture_alone_stays() -> None:
    assert verdicts(image("a", ("s", WEB, "x"))) == {("a", "s"): ("keep", "unique", "a")}


def test_the_copy_yields_to_the_larger_picture() -> None:
    found = verdicts(
        image("a", ("s", WEB, "x"), pixels=50),
        image("b", ("s", WEB, "y"), pixels=500),
        edges=(("a", "b"),),
    )
    assert found["b", "s"] == ("keep", "keeper", "b")
    assert found["a", "s"] == ("drop", "near_duplicate", "b")


def test_tier_counts_more_than_size() -> None:
    found = verdicts(
        image("a", ("s", EXPERT, "x"), pixels=50),
        image("b", ("s", WEB, "y"), pixels=500),
        edges=(("a", "b"),),
    )
    assert found["b", "s"] == ("drop", "near_duplicate", "a")


def test_nothing_goes_without_an_edge_to_its_own_keeper() -> None:
    chain = [image(name, ("s", WEB, "x"), pixels=500 - i) for i, name in enumerate("abc")]
    found = verdicts(*chain, edges=(("a", "b"), ("b", "c")))
    assert found["b", "s"] == ("drop", "near_duplicate", "a")
    assert found["c", "s"][0] == "keep"


def test_the_trusted_tier_names_the_species() -> None:
    found = verdicts(image("a", ("s", WEB, "x"), ("t", EXPERT, "y")))
    assert found["a", "t"] == ("keep", "unique", "a")
    assert found["a", "s"] == ("drop", "outvoted", "a")


def test_two_sources_of_one_tier_that_disagree_lose_the_picture() -> None:
    found = verdicts(image("a", ("s", CITIZEN, "x"), ("t", CITIZEN, "y")))
    assert {row[:2] for row in found.values()} == {("drop", "conflict")}


def test_twice_the_domains_are_a_majority() -> None:
    found = verdicts(
        image("a", ("s", WEB, "x"), ("s", WEB, "y"), ("t", WEB, "z")),
        image("b", ("s", WEB, "x"), ("t", WEB, "z")),
    )
    assert found["a", "s"][0] == "keep"
    assert found["a", "t"][1] == "outvoted"
    assert found["b", "s"][1] == found["b", "t"][1] == "conflict"


def test_a_picture_of_three_species_is_a_placeholder() -> None:
    found = verdicts(image("a", *((species, EXPERT, "x") for species in "stu")))
    assert {row for row in found.values()} == {("drop", "placeholder", None)}


def test_a_winner_without_an_edge_to_its_new_keeper_is_not_removed() -> None:
    found = verdicts(  # the largest is listed under t alone, which loses to the expert's s
        image("a", ("t", EXPERT, "x"), ("s", EXPERT, "w"), pixels=900),
        image("b", ("s", EXPERT, "y"), pixels=500),
        image("c", ("s", EXPERT, "z"), pixels=400),
        edges=(("a", "b"), ("a", "c")),
    )
    assert found["a", "s"][0] == "keep"
    assert found["b", "s"][1] == found["c", "s"][1] == "near_duplicate"
    assert found["a", "t"][1] == "outvoted"
