import dataclasses
from itertools import combinations

import imagehash

from demo.plants import draw
from demo.species import FLORA


def test_every_species_has_its_own_name_and_its_own_looks() -> None:
    assert len(FLORA) >= 60
    assert len({species.name for species in FLORA}) == len(FLORA)
    assert len({species.traits for species in FLORA}) == len(FLORA)
    assert len({species.genus for species in FLORA[:48]}) > len({s.family for s in FLORA}) > 8


def test_some_relatives_differ_in_a_trait_or_two() -> None:
    def differences(one: object, two: object) -> int:
        a, b = (dataclasses.astuple(x) for x in (one, two))  # type: ignore[call-overload]
        return sum(x != y for x, y in zip(a, b, strict=True))

    relatives = [(a, b) for a, b in combinations(FLORA[:48], 2) if a.genus == b.genus]
    assert sum(differences(a.traits, b.traits) <= 2 for a, b in relatives) >= 5


def test_a_seed_always_draws_the_same_picture() -> None:
    for species in FLORA[:4]:
        assert draw(species, 5).tobytes() == draw(species, 5).tobytes()
        assert draw(species, 5).tobytes() != draw(species, 6).tobytes()


def test_pictures_have_the_sizes_and_shapes_of_photographs() -> None:
    sizes = [draw(FLORA[0], seed).size for seed in range(30)]
    assert all(200 <= max(size) <= 300 for size in sizes)
    assert len({wide > high for wide, high in sizes}) == 2
    assert draw(FLORA[0], 0).mode == "RGB"


def test_no_two_pictures_could_be_taken_for_copies_of_one_another() -> None:
    hashes = [imagehash.phash(draw(species, k)) for species in FLORA[:12] for k in range(10)]
    assert min(a - b for a, b in combinations(hashes, 2)) > 8
