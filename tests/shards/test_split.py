from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from flora.ids import Ints, Words, sort
from shards.config import ShardSettings
from shards.lots import draw, keys
from shards.split import SPLITS, groups, positions, split, within_cap


def some_ids(count: int, seed: int = 0) -> Words:
    found = np.random.default_rng(seed).integers(0, 2**64, (count, 4), dtype=np.uint64)
    return found[sort([*found.T])]


def sides(ids: Words, species: Ints, group: Ints | None = None, **changes: float) -> list[str]:
    group = np.arange(len(ids)) if group is None else group
    found = split(ids, species, group, ShardSettings(**changes))  # type: ignore[arg-type]
    return [SPLITS[side] for side in found]


def test_shares_are_taken_from_each_species() -> None:
    species = np.array([0] * 50 + [3] * 20)
    found = sides(some_ids(70), species)
    assert Counter(found[:50]) == dict(train=40, val=5, test=5)
    assert Counter(found[50:]) == dict(train=16, val=2, test=2)


def test_a_rare_species_gives_all_to_training() -> None:
    assert set(sides(some_ids(9), np.zeros(9, np.int64))) == {"train"}


def test_a_group_that_does_not_fit_leaves_its_place_to_one_that_does() -> None:
    group = np.array([0] * 12 + list(range(12, 20)))  # test and val have room for two each
    for seed in range(5):
        found = sides(some_ids(20), np.zeros(20, np.int64), group, seed=seed)
        assert Counter(found) == dict(train=16, val=2, test=2)
        assert set(found[:12]) == {"train"}


def test_what_belongs_together_stands_on_one_side() -> None:
    ids, species = some_ids(126), np.arange(126) % 2
    linked = np.array([0, 1, 2, 2, 3, 4, 4, 5, 0])  # 0-1-2, 2-3-4, 4-5
    key = np.array([7, 7, 7, 8, 8, 8, 9, 9, 1], np.uint64)
    group = groups(126, linked, key)
    assert group[:7].tolist() == [0, 0, 0, 0, 0, 0, 6]
    seen = set()
    for seed in range(40):
        found = sides(ids, species, group, seed=seed)
        assert len(set(found[:6])) == 1
        seen.add(found[0])
    assert seen == set(SPLITS)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_the_chains_of_links(seed: int) -> None:
    rng = np.random.default_rng(seed)
    linked, key = rng.integers(0, 300, 400), rng.integers(0, 250, 400).astype(np.uint64)
    expected = np.arange(300)
    for _ in range(300):  # everyone takes the least of all it shares a key with, till all is still
        least = np.full(250, 300)
        np.minimum.at(least, key.astype(np.int64), expected[linked])
        np.minimum.at(expected, linked, least[key.astype(np.int64)])
    assert groups(300, linked, key).tolist() == expected.tolist()


def test_split_and_order_depend_on_seed_and_ids_alone() -> None:
    ids, species = some_ids(300), np.arange(300) % 3
    assert draw(ids[::-1], 5, 1).tolist() == draw(ids, 5, 1)[::-1].tolist()
    assert sides(ids, species) == sides(ids, species) != sides(ids, species, seed=1)
    found = split(ids, species, np.arange(300), ShardSettings())
    place = positions(ids, found, 1)
    assert sorted(place.tolist()) == list(range(300))
    assert found[np.argsort(place)].tolist() == sorted(found.tolist())
    assert place.tolist() != positions(ids, found, 2).tolist()


def test_lots_of_one_purpose_tell_nothing_of_those_of_another() -> None:
    ids = some_ids(20_000)
    a, b = (draw(ids, 2018, purpose).astype(float) for purpose in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert abs(a.mean() / 2**64 - 0.5) < 0.01


def test_rare_species_stand_anywhere_in_the_order() -> None:
    species = np.concatenate([np.repeat(np.arange(20), 100), 20 + np.arange(1000)])
    ids = some_ids(3000)
    found = split(ids, species, np.arange(3000), ShardSettings())
    train, place = found == 0, positions(ids, found, 2018)
    frequent, rare = place[train & (species < 20)], place[train & (species >= 20)]
    assert abs(frequent.mean() / rare.mean() - 1) < 0.05


def test_a_cap_takes_the_best_tiers_and_leaves_val_and_test_alone() -> None:
    ids, species = some_ids(200), np.repeat([0, 1], [150, 50])
    tier = (np.arange(200) % 3).astype(np.int8)
    found = split(ids, species, np.arange(200), ShardSettings())
    stays = within_cap(ids, species, tier, found, ShardSettings(max_images=45))
    counts = Counter(zip(species[stays].tolist(), found[stays].tolist(), strict=True))
    assert counts == {(0, 0): 45, (0, 1): 15, (0, 2): 15, (1, 0): 40, (1, 1): 5, (1, 2): 5}
    train = (found == 0) & (species == 0)
    stayed = np.isin(np.arange(200), stays)
    assert tier[train & stayed].max() <= tier[train & ~stayed].min()
    every = within_cap(ids, species, tier, found, ShardSettings())
    assert every.tolist() == list(range(200))


def test_a_text_has_its_own_key_wherever_it_stands() -> None:
    texts = [f"{'observation ' * (number % 3)}{number}" for number in range(3000)] + ["", "é", "ê"]
    found = keys(pa.chunked_array([texts]))
    assert len(set(found.tolist())) == len(texts)
    parts = pa.chunked_array([texts[:10], texts[10:]]).slice(5)
    assert keys(parts).tolist() == found[5:].tolist()
    assert keys(pa.chunked_array([], pa.string())).tolist() == []
