import random
import shutil
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flora import records
from flora.errors import ConfigError, ContractError
from flora.taxa import Built, Checklist, How, build

HEADER = (
    "ID,Major group,Family,Genus hybrid marker,Genus,Species hybrid marker,Species,"
    "Infraspecific rank,Infraspecific epithet,Authorship,Taxonomic status in TPL,Accepted ID"
)
OAKS = (
    "q-1,A,Fagaceae,,Quercus,,robur,,,L.,Accepted,",
    "q-2,A,Fagaceae,,Quercus,,petraea,,,(Matt.) Liebl.,Accepted,",
    "q-3,A,Fagaceae,,Quercus,×,rosacea,,,Bechst.,Accepted,",
    "q-4,A,Fagaceae,,Quercus,,pedunculata,,,Ehrh.,Synonym,q-1",
    "q-5,A,Fagaceae,,Quercus,,robur,subsp.,brutia,(Ten.) O.Schwarz,Accepted,",
    "q-6,A,Fagaceae,,Quercus,,brutia,,,Ten.,Synonym,q-5",
    "q-7,A,Fagaceae,,Quercus,,pedunculata,var.,brutia,(Ten.) Foo,Synonym,q-6",
    "q-8,A,Fagaceae,,Quercus,,robur,,,(Ten.) A. DC.,Synonym,q-2",
    "q-9,A,Fagaceae,,Quercus,,sessilis,,,Ehrh.,Synonym,q-2",
    "q-10,A,Fagaceae,,Quercus,,sessilis,,,Schur,Synonym,q-1",
    "q-11,A,Fagaceae,,Quercus,,obscura,,,Foo,Unresolved,",
    "q-12,A,Fagaceae,,Quercus,,incerta,,,Foo,Unresolved,q-2",
    "q-13,A,Fagaceae,,Quercus,,aurea,,,sensu auct.,Misapplied,q-1",
    "q-14,A,Fagaceae,,Quercus,,robur,var.,pendula,Foo,Unresolved,",
    "q-15,A,Fagaceae,,Quercus,,robur,f.,cristata,Foo,Synonym,q-5",
    "q-16,A,Fagaceae,,Quercus,,rosacea,subsp.,brutia,Foo,Synonym,q-3",
    "r-1,A,Rosaceae,,Rosa,,xanthina,,,Lindl.,Accepted,",
    "s-1,A,Crassulaceae,,Sedum,,montis-novi,,,Berger,Accepted,",
    "s-2,A,Crassulaceae,,Sedum,,montis-novi,,,(Dinter) A.Berger,Accepted,",
    "c-1,G,Cupressaceae,×,Cuprocyparis,,leylandii,,,Farjon,Accepted,",
)


def put(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def numbers(folder: Path) -> dict[str, int]:
    table = records.read(folder / "species.parquet", records.SPECIES)
    return dict(zip(table["species_id"].to_pylist(), table["class_index"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def oaks(tmp_path_factory: pytest.TempPathFactory) -> Checklist:
    folder = tmp_path_factory.mktemp("oaks")
    build(put(folder / "list.csv", *OAKS), folder / "checklist")
    return Checklist.load(folder / "checklist")


def test_what_came_of_a_list_is_counted(tmp_path: Path) -> None:
    lost = (
        "x-1,A,Fagaceae,,Quercus,,a,,,Foo,Synonym,gone",
        "x-2,A,Fagaceae,,Quercus,,b,,,Foo,Synonym,x-3",
        "x-3,A,Fagaceae,,Quercus,,c,,,Foo,Synonym,x-2",
        "x-4,A,Fagaceae,,Quercus,,d,,,Foo,Synonym,x-4",
        "x-5,A,Fagaceae,,Quercus,,e,,,Foo,Synonym,x-2",
        "x-6,A,Fagaceae,,Quercus,,f,,,Foo,Synonym,q-11",
        "x-7,A,Fagaceae,,Quercus,,g,,,Foo,Synonym,",
        "x-8,A,Fagaceae,,Quercus,,h,var.,i,Foo,Accepted,",
    )
    assert build(put(tmp_path / "list.csv", *OAKS, *lost), tmp_path / "checklist") == Built(
        names=28,
        species=7,
        accepted_species=7,
        synonyms_linked=8,
        infraspecific_folded=1,
        unresolved=11,
        misapplied=1,
        dangling=1,
        circular=4,
        appended=7,
        kept=0,
    )


def test_species_are_numbered_by_family_genus_and_name(oaks: Checklist) -> None:
    assert oaks.species["class_index"].to_pylist() == list(range(7))
    assert oaks.species["name"].to_pylist() == [
        "Sedum montis-novi",
        "Sedum montis-novi",
        "× Cuprocyparis leylandii",
        "Quercus petraea",
        "Quercus robur",
        "Quercus × rosacea",
        "Rosa xanthina",
    ]
    assert oaks.species.schema == records.SPECIES


def test_a_species_is_given_by_its_id(oaks: Checklist) -> None:
    robur = oaks.get("q-1")
    assert (robur.class_index, robur.name, robur.authorship) == (4, "Quercus robur", "L.")
    assert (robur.genus, robur.family, robur.major_group) == ("Quercus", "Fagaceae", "A")
    with pytest.raises(ContractError, match="z-9: is no species"):
        oaks.get("z-9")


def test_synonyms_are_the_names_that_lead_to_one_species_alone(oaks: Checklist) -> None:
    assert oaks.get("q-1").synonyms == (
        "Quercus brutia",
        "Quercus pedunculata",
        "Quercus pedunculata var. brutia",
        "Quercus robur f. cristata",
    )
    # `Quercus robur (Ten.) A. DC.` and the two `Quercus sessilis` say too little without authors.
    assert oaks.get("q-2").synonyms == ()
    assert oaks.get("r-1").synonyms == ()


@pytest.mark.parametrize(
    ("query", "how", "species_id"),
    [
        ("Quercus robur", How.ACCEPTED, "q-1"),
        ("quercus_robur L.", How.ACCEPTED, "q-1"),
        ("Quercus rosacea", How.ACCEPTED, "q-3"),
        ("Quercus xrosacea", How.ACCEPTED, "q-3"),
        ("Quercus X rosacea Bechst.", How.ACCEPTED, "q-3"),
        ("xCuprocyparis leylandii", How.ACCEPTED, "c-1"),
        ("Cuprocyparis leylandii", How.ACCEPTED, "c-1"),
        ("Rosa xanthina", How.ACCEPTED, "r-1"),
        ("Sedum montis novi (Dinter) A.Berger", How.ACCEPTED, "s-2"),
        ("Quercus pedunculata", How.SYNONYM, "q-1"),
        ("Quercus brutia", How.SYNONYM, "q-1"),
        ("Quercus pedunculata var. brutia", How.SYNONYM, "q-1"),
        ("Quercus robur subsp. brutia", How.INFRASPECIFIC, "q-1"),
        ("Quercus rosacea subsp. brutia", How.SYNONYM, "q-3"),
        ("Quercus robur brutia", How.INFRASPECIFIC, "q-1"),
        ("Quercus robur var. unheard-of", How.INFRASPECIFIC, "q-1"),
        ("Quercus pedunculata f. unheard-of", How.INFRASPECIFIC, "q-1"),
        ("Quercus robur var. pendula", How.INFRASPECIFIC, "q-1"),
        ("Quercus robur linnaeus", How.ACCEPTED, "q-1"),
        ("Quercus robur Nobody", How.ACCEPTED, "q-1"),
    ],
)
def test_a_name_is_found_however_it_is_written(
    oaks: Checklist, query: str, how: How, species_id: str
) -> None:
    match = oaks.find(query)
    assert (match.query, match.how, match.species_id) == (query, how, species_id)
    assert match.suggestions == ()


def test_an_accepted_name_goes_before_its_homonyms_unless_the_author_says_otherwise(
    oaks: Checklist,
) -> None:
    assert oaks.find("Quercus robur").species_id == "q-1"
    assert oaks.find("Quercus robur (Ten.) A. DC.").species_id == "q-2"
    assert oaks.find("Quercus robur A.DC.").species_id == "q-2"


def test_a_name_of_two_species_is_ambiguous_and_says_which(oaks: Checklist) -> None:
    match = oaks.find("Quercus sessilis")
    assert (match.how, match.species_id) == (How.AMBIGUOUS, None)
    assert match.suggestions == ("Quercus sessilis Ehrh.", "Quercus sessilis Schur")
    assert oaks.find("Quercus sessilis Schur").species_id == "q-1"
    assert oaks.find("Sedum montis-novi").how is How.AMBIGUOUS
    assert oaks.find("Sedum montis-novi Berger").species_id == "s-1"


def test_a_name_that_the_list_leaves_open_leads_nowhere_but_may_offer_a_hint(
    oaks: Checklist,
) -> None:
    match = oaks.find("Quercus obscura")
    assert (match.how, match.species_id, match.suggestions) == (How.UNRESOLVED, None, ())
    match = oaks.find("Quercus incerta")
    assert (match.how, match.species_id) == (How.UNRESOLVED, None)
    assert match.suggestions == ("Quercus petraea",)
    match = oaks.find("Quercus aurea")
    assert (match.how, match.species_id) == (How.MISAPPLIED, None)
    assert match.suggestions == ("Quercus robur",)


@pytest.mark.parametrize("query", ["Quercus robor", "Qercus robur", "quercus_robbur L."])
def test_a_misspelling_is_answered_with_a_suggestion_and_never_taken(
    oaks: Checklist, query: str
) -> None:
    match = oaks.find(query)
    assert (match.how, match.species_id) == (How.UNKNOWN, None)
    assert match.suggestions == ("Quercus robur",)
    assert oaks.find(query, suggest=False).suggestions == ()


@pytest.mark.parametrize(
    "query",
    ["", "Quercus", "Quercus sp.", "Quercus robur × petraea", "?", "Turdus merula", "x" * 999],
)
def test_what_the_list_does_not_know_is_unknown(oaks: Checklist, query: str) -> None:
    match = oaks.find(query)
    assert (match.how, match.species_id, match.suggestions) == (How.UNKNOWN, None, ())


def test_many_names_are_looked_up_in_their_order(oaks: Checklist) -> None:
    found = oaks.lookup(iter(["Quercus petraea", "Quercus nix", "Quercus robur"]))
    assert [match.species_id for match in found] == ["q-2", None, "q-1"]


def test_a_synonym_without_a_link_is_linked_by_another_file(tmp_path: Path) -> None:
    (source := tmp_path / "lists").mkdir()
    bare = [row.rpartition(",")[0] for row in OAKS]
    put(source / "Fagaceae.csv", *bare, header=f"\ufeff{HEADER.rpartition(',')[0]}")
    build(source, tmp_path / "a")
    assert Checklist.load(tmp_path / "a").find("Quercus pedunculata").how is How.UNRESOLVED
    put(source / "search.csv", *OAKS)
    build(source, tmp_path / "b")
    assert Checklist.load(tmp_path / "b").find("Quercus pedunculata").species_id == "q-1"


def test_an_infraspecific_name_folds_into_its_parent_where_the_list_gives_one(
    tmp_path: Path,
) -> None:
    header = (
        "taxonID\tscientificName\ttaxonRank\tparentNameUsageID\tscientificNameAuthorship\tfamily\t"
        "genus\tspecificEpithet\tinfraspecificEpithet\ttaxonomicStatus\tacceptedNameUsageID"
    )
    rows = (
        "1\tAbies alba\tspecies\t0\tMill.\tPinaceae\tAbies\talba\t\tAccepted\t",
        "2\tAbies alba\tspecies\t0\tFoo\tPinaceae\tAbies\talba\t\tAccepted\t",
        "3\tAbies alba subsp. nova\tsubspecies\t2\tFoo\tPinaceae\tAbies\talba\tnova\tAccepted\t",
        "4\tAbies alba var. mira\tvariety\t3\tFoo\tPinaceae\tAbies\talba\tmira\tAccepted\t",
        "5\tAbies alba f. sola\tform\t\tFoo\tPinaceae\tAbies\talba\tsola\tAccepted\t",
        "6\tAbies mira\tspecies\t\tFoo\tPinaceae\tAbies\tmira\t\tSynonym\t4",
    )
    build(put(tmp_path / "wfo.csv", *rows, header=header), tmp_path / "checklist")
    checklist = Checklist.load(tmp_path / "checklist")
    assert checklist.find("Abies alba var. mira").species_id == "2"
    assert checklist.find("Abies mira").species_id == "2"
    assert checklist.find("Abies alba f. sola").species_id is None  # of which of the two?


def test_the_order_of_rows_and_files_does_not_matter(tmp_path: Path) -> None:
    build(put(tmp_path / "list.csv", *OAKS), tmp_path / "a")
    (source := tmp_path / "lists").mkdir()
    shuffled = random.Random(1).sample(OAKS, len(OAKS))
    put(source / "one.csv", *shuffled[:9])
    put(source / "two.csv", *shuffled[6:])
    build(source, tmp_path / "b")
    for name in ("species.parquet", "names.parquet"):
        assert pq.read_table(tmp_path / "a" / name).equals(pq.read_table(tmp_path / "b" / name))


def test_reading_a_list_again_changes_nothing(tmp_path: Path) -> None:
    source, folder = put(tmp_path / "list.csv", *OAKS), tmp_path / "checklist"
    build(source, folder)
    before = pq.read_table(folder / "species.parquet"), pq.read_table(folder / "names.parquet")
    assert build(source, folder).appended == 0
    assert build(source, folder, extend=True).appended == 0
    assert pq.read_table(folder / "species.parquet").equals(before[0])
    assert pq.read_table(folder / "names.parquet").equals(before[1])


def test_another_list_never_renumbers_a_folder_unasked(tmp_path: Path) -> None:
    folder = tmp_path / "checklist"
    build(put(tmp_path / "short.csv", *OAKS[1:]), folder)
    before = numbers(folder)
    with pytest.raises(ConfigError, match=r"--extend .* or delete"):
        build(put(tmp_path / "long.csv", *OAKS), folder)
    assert numbers(folder) == before


def test_a_longer_list_keeps_every_number_and_appends(tmp_path: Path) -> None:
    folder = tmp_path / "checklist"
    build(put(tmp_path / "short.csv", *OAKS), folder)
    before = numbers(folder)
    more = ("b-1,A,Betulaceae,,Betula,,pendula,,,Roth,Accepted,",
            "a-1,A,Aceraceae,,Acer,,rubrum,,,L.,Accepted,")  # fmt: skip
    built = build(put(tmp_path / "long.csv", *more, *OAKS), folder, extend=True)
    assert (built.species, built.appended, built.kept) == (9, 2, 0)
    assert numbers(folder) == before | {"a-1": 7, "b-1": 8}
    assert Checklist.load(folder).find("Betula pendula").species_id == "b-1"


def test_a_species_with_a_new_id_is_known_by_name_and_author(tmp_path: Path) -> None:
    folder = tmp_path / "checklist"
    build(put(tmp_path / "old.csv", *OAKS), folder)
    before = numbers(folder)
    renamed = [row.replace("q-1,", "w-77,").replace(",q-1", ",w-77") for row in OAKS[:9]]
    renamed += [row for row in OAKS[9:] if "q-1" not in row.rpartition(",")[2]]
    build(put(tmp_path / "new.csv", *renamed), folder, extend=True)
    assert numbers(folder) == before
    assert Checklist.load(folder).find("Quercus pedunculata").species_id == "q-1"


def test_a_species_that_the_longer_list_lacks_keeps_number_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "checklist"
    extra = ("b-1,A,Betulaceae,,Betula,,pendula,,,Roth,Accepted,",
             "b-2,A,Betulaceae,,Betula,,verrucosa,,,Ehrh.,Synonym,b-1",
             "b-3,A,Betulaceae,,Betula,,nana,,,L.,Accepted,")  # fmt: skip
    build(put(tmp_path / "old.csv", *extra, *OAKS), folder)
    before = numbers(folder)
    now = (extra[2].replace("Accepted,", "Synonym,q-1"), *OAKS)
    built = build(put(tmp_path / "new.csv", *now), folder, extend=True)
    assert (built.species, built.accepted_species, built.kept) == (9, 7, 2)
    assert numbers(folder) == before
    checklist = Checklist.load(folder)
    assert checklist.find("Betula verrucosa").species_id == "b-1"
    assert checklist.get("b-1").synonyms == ("Betula verrucosa",)
    assert checklist.find("Betula nana").species_id == "q-1"  # the new list decides
    assert checklist.get("b-3").class_index == before["b-3"]


def test_a_list_without_accepted_species_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no accepted species"):
        build(put(tmp_path / "list.csv", OAKS[3]), tmp_path / "checklist")
    assert not (tmp_path / "checklist").exists()


def test_a_folder_without_a_checklist_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="Run the stage"):
        Checklist.load(tmp_path)


SHARED = Path(__file__).parents[3] / "shared" / "data"
THE_PLANT_LIST = SHARED / "theplantlist-1.1.csv.gz"


@pytest.mark.skipif(not THE_PLANT_LIST.is_file(), reason=f"{THE_PLANT_LIST} is not here")
def test_the_whole_of_theplantlist_is_read_and_asked(tmp_path: Path) -> None:
    built = build(THE_PLANT_LIST, tmp_path)
    assert (built.names, built.accepted_species) == (1_297_759, 350_692)
    assert (built.dangling, built.circular) == (0, 0)
    checklist = Checklist.load(tmp_path)
    labels = sorted(path.name for path in (SHARED / "photos").iterdir() if path.is_dir())
    start = time.perf_counter()
    found = checklist.lookup(labels)
    assert time.perf_counter() - start < 0.005 * len(labels)  # 0.1 ms each, on a quiet machine
    lost = {match.query: match.how for match in found if match.species_id is None}
    assert lost == {
        "Abelia × grandiflora": How.UNRESOLVED,
        "Forsythia × intermedia": How.UNRESOLVED,
        "Photinia × fraseri": How.UNRESOLVED,
    }
    assert {match.how for match in found} == {How.ACCEPTED, How.SYNONYM, How.UNRESOLVED}
    assert checklist.find("Quercus robor").suggestions == ("Quercus robur",)
    shutil.rmtree(tmp_path)
