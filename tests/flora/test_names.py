import pyarrow as pa
import pytest

from flora import names


@pytest.mark.parametrize(
    "written",
    [
        "Quercus robur",
        "quercus robur",
        "QUERCUS ROBUR",
        "Quercus Robur",
        "Quercus_robur",
        "  Quercus \t robur ",
        '"Quercus robur"',
        "‘Quercus robur’",
        "Quercus robur L.",
        "Quercus robur (Ten.) A. DC.",
        "Quercus robur L. f. ex Hook. f.",
        "quercus robur l.",
        "Quercus cf. robur",
        "cf. Quercus robur",
        "Quercus aff. robur L.",
        "Quercus robur 'Fastigiata'",
        "Quercus × robur",
        "Quercus x robur",
        "Quercus X robur",
        "Quercus ×robur",
        "× Quercus robur",
        "+Quercus robur",
    ],
)
def test_a_name_has_one_key_however_it_is_written(written: str) -> None:
    assert names.parse(written).key == "quercus robur"


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Festuca kalsoeënse", "festuca kalsoeense"),
        ("Festuca kalsoee\u0308nse", "festuca kalsoeense"),
        ("Bromus nordenskjöldii", "bromus nordenskjoldii"),
        ("Carex œderi", "carex oederi"),
        ("Symphyotrichum novi-belgii", "symphyotrichum novibelgii"),
        ("Ｑｕｅｒｃｕｓ ｒｏｂｕｒ", "quercus robur"),
    ],
)
def test_accents_hyphens_and_letter_forms_do_not_matter(written: str, key: str) -> None:
    assert names.parse(written).key == key


@pytest.mark.parametrize(
    ("written", "rank", "infra"),
    [
        ("Acer rubrum var. trilobum", "var.", "trilobum"),
        ("Acer rubrum L. var. trilobum Torr. & A.Gray", "var.", "trilobum"),
        ("Acer rubrum ssp. trilobum", "subsp.", "trilobum"),
        ("Acer rubrum subspecies trilobum", "subsp.", "trilobum"),
        ("Acer rubrum f trilobum", "f.", "trilobum"),
        ("Acer rubrum Hook. f. f. trilobum", "f.", "trilobum"),
        ("Acer rubrum subsp. drummondii var. trilobum", "var.", "trilobum"),
        ("Acer rubrum nothosubsp. × trilobum", "subsp.", "trilobum"),
        ("Acer rubrum trilobum", "", "trilobum"),
        ("Acer rubrum Hook. f.", "", ""),
        ("Acer rubrum Hook. f. ex Baker", "", ""),
        ("Acer rubrum L.f. Schult.", "", ""),
    ],
)
def test_an_infraspecific_part_is_told_from_authors(written: str, rank: str, infra: str) -> None:
    name = names.parse(written)
    assert (name.genus, name.epithet, name.rank, name.infra) == ("acer", "rubrum", rank, infra)


def test_a_hybrid_formula_is_not_its_first_parent() -> None:
    assert names.parse("Alchemilla glacialis × pentaphylla Foo").key == (
        "alchemilla glacialis x pentaphylla"
    )
    assert names.parse("Quercus robur × Quercus petraea").key == "quercus robur x quercus petraea"


def test_an_x_stuck_to_a_word_is_read_as_a_letter_first_and_as_a_sign_after() -> None:
    assert list(names.parse("Abelia xgrandiflora").readings()) == [
        "abelia xgrandiflora",
        "abelia grandiflora",
    ]


@pytest.mark.parametrize("written", ["", " ", "×", "Quercus", "?!", "\0", "x x x", "'", "🌿"])
def test_what_is_no_name_has_no_reading(written: str) -> None:
    assert list(names.parse(written).readings()) == []


def test_authors_are_compared_by_letters_and_brackets() -> None:
    assert names.author_key("(L.) Mill. & Foo") == names.author_key("(L.)Mill. et Foo")
    assert names.author_key("(Dinter) Schwantes") != names.author_key("Dinter & Schwantes")
    assert names.parse("Acer rubrum var. trilobum Torr. & A.Gray").author == "torragray"


def test_a_column_of_names_has_the_keys_of_its_names() -> None:
    written = [
        "Quercus robur",
        "Symphyotrichum novi-belgii",
        "Acer rubrum var. trilobum",
        "Acer rubrum subvar. trilobum",
        "× Cuprocyparis leylandii",
        "Abelia × grandiflora",
        "Festuca kalsoeënse",
        "Asplenium ruta muraria",
        "Uva-ursi procumbens",
    ]
    column = names.keys(pa.array(written))
    assert column.to_pylist() == [names.parse(name).key for name in written]


def test_edits_are_counted_as_letters_changed_added_and_dropped() -> None:
    words = ["robur", "robor", "rbur", "roburr", "petraea", ""]
    assert names.distances("robur", words).tolist() == [0, 1, 1, 1, 7, 5]


def test_only_words_within_the_limit_are_near() -> None:
    assert names.within(1, "robur", ["robor", "raber", "roburis"]) == [(1, "robor")]
    assert names.within(1, "robur", []) == []
