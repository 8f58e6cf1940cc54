"""Plants that nobody has ever seen: 72 invented species of 18 genera.

A species is known by its petals, its leaves, its colours and its form; within a genus some
differ in one of them only.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from demo.flowers import Centre, Pattern, PetalShape, Symmetry
from demo.leaves import LeafPattern, LeafShape
from demo.sprites import Colour

Form = Literal["herb", "rosette", "shrub", "twig", "mat"]
Inflorescence = Literal["single", "raceme", "spike", "umbel", "globe", "cluster"]
Arrangement = Literal["alternate", "opposite", "whorled", "basal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a species looks like, in every picture of it."""

    form: Form
    inflorescence: Inflorescence = "single"
    symmetry: Symmetry = "regular"
    petals: int = 5
    petal: PetalShape = "oval"
    slim: float = 1.0
    """Width of a petal, against what is usual for its shape and number."""
    whorls: int = 1
    colour: Colour = (240, 240, 240)
    accent: Colour = (240, 240, 240)
    pattern: Pattern = "plain"
    centre: Centre = "button"
    centre_colour: Colour = (238, 200, 60)
    flower: float = 0.2
    """Width of a flower, against the height of the plant."""
    leaf: LeafShape = "ovate"
    leaf_pattern: LeafPattern = "plain"
    leaf_colours: tuple[Colour, Colour] = ((78, 128, 52), (200, 210, 140))
    leaf_slim: float = 1.0
    leaf_size: float = 0.3
    arrangement: Arrangement = "alternate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """One invented species."""

    genus: str
    epithet: str
    family: str
    authorship: str
    traits: Traits

    @property
    def name(self) -> str:
        """The binomial."""
        return f"{self.genus} {self.epithet}"


WHITE, CREAM, YELLOW, GOLD = (247, 246, 240), (247, 236, 190), (250, 218, 48), (240, 170, 24)
ORANGE, RED, CRIMSON, BRICK = (242, 118, 26), (212, 36, 34), (160, 16, 48), (178, 74, 48)
PINK, ROSE, MAGENTA, MAUVE = (248, 178, 200), (232, 92, 142), (200, 30, 130), (196, 160, 216)
VIOLET, PURPLE, BLUE, SKY = (122, 64, 176), (84, 28, 112), (52, 74, 200), (132, 176, 238)
LIME, BROWN, INK = (176, 206, 66), (104, 62, 34), (44, 24, 40)

FRESH, MEADOW, DEEP = (108, 160, 58), (78, 128, 52), (40, 88, 44)
GREY, SILVER, WINE, PALE = (116, 146, 128), (164, 180, 166), (108, 44, 56), (214, 222, 160)
BLUISH, OLIVE, RUST = (88, 138, 122), (122, 128, 56), (166, 84, 52)


def leaves(base: Colour, second: Colour = PALE) -> tuple[Colour, Colour]:
    """Name a pair of leaf colours."""
    return base, second


@dataclass(frozen=True, slots=True, kw_only=True)
class _Genus:
    """What the species of a genus share; each species then says how it departs from it."""

    name: str
    family: str
    author: str
    traits: Traits
    species: dict[str, dict[str, object]]


_GENERA = (
    _Genus(
        name="Helianda",
        family="Heliandaceae",
        author="Brandt",
        traits=Traits(
            form="herb", petals=17, petal="strap", centre="disc", centre_colour=(226, 168, 30),
            flower=0.42, leaf="lance", leaf_size=0.34, leaf_colours=leaves(MEADOW),
        ),
        species={
            "aurea": {"colour": YELLOW, "centre": "cone", "centre_colour": BROWN},
            "nivea": {"colour": WHITE},
            "sanguinea": {"colour": CRIMSON, "accent": GOLD, "pattern": "halves",
                          "centre_colour": INK},
            "lilacina": {"colour": MAUVE, "leaf": "spoon", "leaf_colours": leaves(GREY)},
        },
    ),
    _Genus(
        name="Rosmira",
        family="Rosmiraceae",
        author="Oriol",
        traits=Traits(
            form="shrub", petal="round", centre="stamens", flower=0.24, leaf="pinnate",
            leaf_size=0.3, leaf_colours=leaves(DEEP),
        ),
        species={
            "rosea": {"colour": PINK},
            "lutea": {"colour": YELLOW, "leaf_colours": leaves(FRESH)},
            "plena": {"colour": RED, "whorls": 3, "centre": "button"},
            "candida": {"colour": WHITE, "accent": MAGENTA, "pattern": "eye"},
        },
    ),
    _Genus(
        name="Tintinna",
        family="Tintinnaceae",
        author="Kessel",
        traits=Traits(
            form="herb", inflorescence="raceme", symmetry="bell", flower=0.19, leaf="lance",
            leaf_size=0.3, leaf_colours=leaves(MEADOW),
        ),
        species={
            "caerulea": {"colour": BLUE, "accent": SKY, "pattern": "halves"},
            "alba": {"colour": WHITE, "leaf": "heart", "arrangement": "basal", "leaf_size": 0.42},
            "rubra": {"colour": RED, "accent": YELLOW, "pattern": "halves", "leaf": "linear"},
            "striata": {"colour": CREAM, "accent": PURPLE, "pattern": "veins"},
        },
    ),
    _Genus(
        name="Umbellanda",
        family="Umbellandaceae",
        author="Veit",
        traits=Traits(
            form="herb", inflorescence="umbel", petals=5, petal="heart", centre="button",
            flower=0.085, leaf="fern", leaf_size=0.46, leaf_colours=leaves(FRESH),
        ),
        species={
            "communis": {"colour": WHITE, "centre_colour": LIME},
            "flava": {"colour": YELLOW, "centre_colour": OLIVE, "leaf": "linear"},
            "purpurascens": {"colour": ROSE, "centre_colour": WINE, "leaf_colours": leaves(WINE)},
            "glauca": {"colour": SKY, "centre_colour": BLUE, "leaf": "trefoil",
                       "leaf_colours": leaves(BLUISH)},
        },
    ),
    _Genus(
        name="Lilanda",
        family="Lilandaceae",
        author="Moreau",
        traits=Traits(
            form="herb", petals=6, petal="pointed", centre="stamens", centre_colour=(150, 70, 20),
            flower=0.46, leaf="linear", leaf_size=0.4, leaf_slim=1.5, arrangement="whorled",
            leaf_colours=leaves(MEADOW),
        ),
        species={
            "tigrina": {"colour": ORANGE, "accent": BROWN, "pattern": "spots"},
            "virginea": {"colour": WHITE, "accent": LIME, "pattern": "eye"},
            "regina": {"colour": ROSE, "accent": WHITE, "pattern": "edge", "leaf": "ovate"},
            "fulgens": {"colour": RED, "accent": GOLD, "pattern": "eye", "slim": 0.6},
        },
    ),
    _Genus(
        name="Crassanda",
        family="Crassandaceae",
        author="Oriol",
        traits=Traits(
            form="rosette", inflorescence="cluster", petals=5, petal="star", centre="button",
            flower=0.11, leaf="spoon", leaf_slim=1.35, leaf_size=0.55, leaf_colours=leaves(BLUISH),
        ),
        species={
            "glauca": {"colour": YELLOW, "leaf_pattern": "rim",
                       "leaf_colours": leaves(BLUISH, RUST)},
            "rubens": {"colour": WHITE, "leaf_colours": leaves(WINE)},
            "stellata": {"colour": ROSE, "leaf": "lance", "leaf_slim": 1.2, "flower": 0.14,
                         "leaf_colours": leaves(FRESH, (190, 60, 60)), "leaf_pattern": "rim"},
            "argentea": {"colour": ORANGE, "leaf_colours": leaves(SILVER), "leaf": "round",
                         "leaf_slim": 0.9},
        },
    ),
    _Genus(
        name="Violanda",
        family="Violandaceae",
        author="Brandt",
        traits=Traits(
            form="mat", symmetry="pansy", pattern="eye", centre="tube", centre_colour=GOLD,
            flower=0.34, leaf="heart", leaf_size=0.26, leaf_colours=leaves(MEADOW),
        ),
        species={
            "tricolor": {"colour": YELLOW, "accent": PURPLE},
            "hirta": {"colour": SKY, "accent": WHITE},
            "atrata": {"colour": (96, 34, 60), "accent": (150, 40, 40), "leaf": "spoon"},
            "pallida": {"colour": CREAM, "accent": VIOLET, "pattern": "veins"},
        },
    ),
    _Genus(
        name="Lupamira",
        family="Vexillaceae",
        author="Sand",
        traits=Traits(
            form="herb", inflorescence="spike", symmetry="pea", centre="tube",
            centre_colour=CREAM, flower=0.13, leaf="palmate", leaf_size=0.36,
            leaf_colours=leaves(MEADOW),
        ),
        species={
            "azurea": {"colour": BLUE, "accent": WHITE},
            "ignea": {"colour": RED, "accent": GOLD},
            "lactea": {"colour": CREAM, "accent": YELLOW, "leaf_colours": leaves(GREY)},
            "bicolor": {"colour": MAGENTA, "accent": WHITE, "leaf": "pinnate"},
        },
    ),
    _Genus(
        name="Pometta",
        family="Rosmiraceae",
        author="Veit",
        traits=Traits(
            form="twig", inflorescence="cluster", petals=5, petal="oval", slim=1.15,
            centre="stamens", flower=0.2, leaf="ovate", leaf_pattern="serrate", leaf_size=0.27,
            leaf_colours=leaves(FRESH),
        ),
        species={
            "praecox": {"colour": WHITE, "centre_colour": (196, 70, 90)},
            "serrulata": {"colour": PINK, "petal": "heart", "whorls": 2},
            "coccinea": {"colour": RED, "leaf_colours": leaves(WINE), "inflorescence": "single"},
            "sempervirens": {"colour": CREAM, "leaf_colours": leaves(DEEP), "leaf": "lance",
                             "arrangement": "opposite", "leaf_pattern": "plain"},
        },
    ),
    _Genus(
        name="Globelia",
        family="Lilandaceae",
        author="Kessel",
        traits=Traits(
            form="herb", inflorescence="globe", petals=6, petal="star", centre="button",
            flower=0.1, leaf="linear", leaf_size=0.6, arrangement="basal",
            leaf_colours=leaves(BLUISH),
        ),
        species={
            "gigantea": {"colour": VIOLET, "centre_colour": LIME},
            "nana": {"colour": YELLOW, "centre_colour": ORANGE, "leaf_slim": 2.2,
                     "leaf_colours": leaves(FRESH)},
            "sphaerica": {"colour": WHITE, "centre_colour": (90, 130, 60)},
            "atropurpurea": {"colour": (112, 20, 58), "centre_colour": INK, "leaf_slim": 2.4},
        },
    ),
    _Genus(
        name="Papamira",
        family="Papamiraceae",
        author="Moreau",
        traits=Traits(
            form="herb", petals=4, petal="round", slim=1.2, centre="stamens", centre_colour=INK,
            flower=0.4, leaf="lobed", leaf_size=0.32, leaf_colours=leaves(MEADOW),
        ),
        species={
            "rhoeas": {"colour": RED, "accent": INK, "pattern": "eye"},
            "aurantia": {"colour": ORANGE, "leaf": "fern", "leaf_colours": leaves(GREY),
                         "centre_colour": GOLD},
            "nivalis": {"colour": WHITE, "centre_colour": GOLD, "leaf_colours": leaves(GREY)},
            "meconia": {"colour": SKY, "centre_colour": GOLD, "leaf": "lance"},
        },
    ),
    _Genus(
        name="Trifolanda",
        family="Vexillaceae",
        author="Brandt",
        traits=Traits(
            form="mat", inflorescence="globe", petals=5, petal="spoon", slim=0.7, centre="button",
            centre_colour=CREAM, flower=0.1, leaf="trefoil", leaf_pattern="zoned", leaf_size=0.3,
            leaf_colours=leaves(MEADOW),
        ),
        species={
            "repens": {"colour": WHITE},
            "pratensis": {"colour": ROSE, "centre_colour": PINK},
            "lutescens": {"colour": YELLOW, "leaf_pattern": "plain", "centre_colour": GOLD},
            "incarnata": {"colour": CRIMSON, "leaf_colours": leaves(FRESH, WINE)},
        },
    ),
    _Genus(
        name="Labellia",
        family="Labelliaceae",
        author="Sand",
        traits=Traits(
            form="herb", inflorescence="raceme", symmetry="orchid", centre="tube",
            centre_colour=GOLD, petal="oval", flower=0.27, leaf="lance", leaf_size=0.5,
            arrangement="basal", leaf_slim=1.3, leaf_colours=leaves(DEEP),
        ),
        species={
            "nobilis": {"colour": MAGENTA, "accent": PURPLE, "pattern": "plain"},
            "maculata": {"colour": YELLOW, "accent": BROWN, "pattern": "spots"},
            "virens": {"colour": LIME, "accent": WHITE, "leaf": "linear", "leaf_slim": 2.5},
            "papilio": {"colour": WHITE, "accent": ROSE, "petal": "round"},
        },
    ),
    _Genus(
        name="Fimbrella",
        family="Fimbrellaceae",
        author="Oriol",
        traits=Traits(
            form="mat", petals=5, petal="fringed", centre="tube", centre_colour=WINE,
            flower=0.25, leaf="linear", leaf_size=0.36, leaf_slim=2.0, leaf_colours=leaves(GREY),
        ),
        species={
            "barbata": {"colour": ROSE, "accent": CRIMSON, "pattern": "eye"},
            "superba": {"colour": WHITE, "accent": PURPLE, "pattern": "eye"},
            "plumaria": {"colour": PINK, "whorls": 3, "centre": "button", "centre_colour": PINK},
            "solaris": {"colour": YELLOW, "accent": RED, "pattern": "edge"},
        },
    ),
    _Genus(
        name="Stellanda",
        family="Heliandaceae",
        author="Kessel",
        traits=Traits(
            form="shrub", petals=8, petal="oval", centre="disc", flower=0.2, leaf="lobed",
            leaf_size=0.26, leaf_colours=leaves(SILVER),
        ),
        species={
            "maritima": {"colour": YELLOW, "centre_colour": GOLD},
            "montana": {"colour": SKY, "centre_colour": YELLOW, "leaf_colours": leaves(MEADOW)},
            "fruticosa": {"colour": WHITE, "centre": "cone", "centre_colour": INK,
                          "leaf_colours": leaves(OLIVE)},
            "rutilans": {"colour": ORANGE, "accent": CRIMSON, "pattern": "eye",
                         "centre_colour": BROWN, "leaf_colours": leaves(DEEP)},
        },
    ),
    _Genus(
        name="Nolanda",
        family="Tintinnaceae",
        author="Veit",
        traits=Traits(
            form="rosette", petals=5, petal="star", slim=1.5, centre="button", flower=0.3,
            leaf="round", leaf_size=0.5, leaf_colours=leaves(DEEP, SILVER), leaf_pattern="zoned",
        ),
        species={
            "stellaris": {"colour": VIOLET, "centre_colour": WHITE},
            "marmorata": {"colour": PINK, "leaf": "heart", "leaf_pattern": "midrib"},
            "variegata": {"colour": WHITE, "leaf_pattern": "rim",
                          "leaf_colours": leaves(MEADOW, CREAM)},
            "aestiva": {"colour": GOLD, "leaf": "lance", "leaf_pattern": "plain",
                        "leaf_colours": leaves(FRESH)},
        },
    ),
    _Genus(
        name="Spicanda",
        family="Spicandaceae",
        author="Moreau",
        traits=Traits(
            form="shrub", inflorescence="spike", petals=4, petal="oval", centre="tube",
            flower=0.075, leaf="linear", leaf_slim=2.0, leaf_size=0.22, arrangement="opposite",
            leaf_colours=leaves(GREY),
        ),
        species={
            "odorata": {"colour": VIOLET, "centre_colour": INK},
            "flammea": {"colour": ORANGE, "centre_colour": RED, "leaf": "lance",
                        "leaf_colours": leaves(DEEP)},
            "nivosa": {"colour": WHITE, "centre_colour": LIME, "leaf": "ovate",
                       "leaf_colours": leaves(FRESH)},
            "rosulata": {"colour": PINK, "centre_colour": MAGENTA, "leaf": "palmate"},
        },
    ),
    _Genus(
        name="Solmira",
        family="Solmiraceae",
        author="Sand",
        traits=Traits(
            form="twig", petals=5, petal="heart", slim=1.2, centre="tube", flower=0.4,
            leaf="palmate", leaf_size=0.34, leaf_colours=leaves(MEADOW),
        ),
        species={
            "grandiflora": {"colour": ROSE, "accent": CRIMSON, "pattern": "eye",
                            "centre_colour": YELLOW},
            "cardinalis": {"colour": RED, "accent": INK, "pattern": "eye", "leaf": "heart",
                           "centre_colour": YELLOW},
            "lunaria": {"colour": SKY, "accent": VIOLET, "pattern": "veins", "leaf": "ovate"},
            "citrina": {"colour": (246, 236, 120), "accent": BRICK, "pattern": "eye",
                        "leaf": "lobed", "centre_colour": WINE},
        },
    ),
)  # fmt: skip


def _flora() -> Iterator[Species]:
    """Yield the first species of every genus, then the second: few species stay far apart."""
    for rank in range(4):
        for genus in _GENERA:
            epithet, change = list(genus.species.items())[rank]
            yield Species(
                genus=genus.name,
                epithet=epithet,
                family=genus.family,
                authorship=genus.author,
                traits=dataclasses.replace(genus.traits, **change),  # type: ignore[arg-type]
            )


FLORA: tuple[Species, ...] = tuple(_flora())
