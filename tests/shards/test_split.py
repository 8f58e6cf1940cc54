from collections import Counter

from shards.config import ShardSettings
from shards.split import Member, shuffled, split


def members(species: str, count: int, links: tuple[str, ...] = ()) -> list[Member]:
    return [
        Member(image_id=f"{species}-{i:03}", species_id=species, links=links) for i in range(count)
    ]


def test_shares_are_taken_from_each_species() -> None:
    sides = split(members("s", 50) + members("t", 20), ShardSettings())
    assert Counter(sides[m.image_id] for m in members("s", 50)) == dict(train=40, val=5, test=5)
    assert Counter(sides[m.image_id] for m in members("t", 20)) == dict(train=16, val=2, test=2)


def test_a_rare_species_gives_all_to_training() -> None:
    assert set(split(members("s", 9), ShardSettings()).values()) == {"train"}


def test_what_belongs_together_stands_on_one_side() -> None:
    linked = [
        Member(
            image_id=f"i{i:03}",
            species_id=f"s{i % 2}",
            links=(f"observation:{i // 3}", f"cluster:{(i + 1) // 3}"),
        )
        for i in range(6)
    ]
    others = [m for n in range(2) for m in members(f"s{n}", 60)]
    for seed in range(10):
        sides = split(linked + others, ShardSettings(seed=seed))
        assert len({sides[m.image_id] for m in linked}) == 1


def test_split_and_order_depend_on_seed_and_ids_alone() -> None:
    some = members("s", 50) + members("t", 30)
    assert split(some, ShardSettings()) == split(some[::-1], ShardSettings())
    assert split(some, ShardSettings()) != split(some, ShardSettings(seed=1))
    ids = [m.image_id for m in some]
    assert shuffled(ids, 1) == shuffled(ids[::-1], 1) != shuffled(ids, 2)
