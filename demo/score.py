"""What the pipeline made of the demo's web, held against what is true of it."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from demo.mishaps import Kind
from demo.world import TRUTH, World
from flora import records
from flora.errors import ContractError
from flora.ledger import publish
from flora.records import KEPT, Verdict

_COPIES = (Kind.EXACT_COPY, Kind.REENCODED, Kind.RESIZED, Kind.CROPPED, Kind.WATERMARKED)
_SURE = (Kind.EXACT_COPY, Kind.REENCODED, Kind.RESIZED)
_WHOLE = (Kind.CLEAN, Kind.WRONG_LABEL, Kind.FLAKY, Kind.UNSTEADY, Kind.SLOW, Kind.REDIRECTED)


def score(data: Path, world: World, *, drawn: bool) -> dict[str, Any]:
    """Return the figures of a finished demo, section by section, and the goals they meet.

    What a model should know of them is a goal for *drawn* plants only.
    """
    truth = records.read(world.truth, TRUTH).to_pylist()
    columns = ["url", "species_id", "image_id", "status"]
    images = records.read(data / "images" / "tables", records.IMAGES, columns).to_pylist()
    status = {row["url"]: row["status"] for row in images}
    image = {row["url"]: row["image_id"] for row in images if row["status"] == KEPT}
    kept = _kept(data)
    stays = {key for keys in kept.values() for key in keys}

    found = {kind: _share(_is_found(row, image, kept) for row in truth
                          if row["kind"] == kind and _both(row, image))
             for kind in _COPIES}  # fmt: skip
    sure = _share(
        _is_found(row, image, kept) for row in truth if row["kind"] in _SURE and _both(row, image)
    )
    alone = _alone(truth)
    lost = _share(
        image[row["url"]] not in stays for row in alone if image.get(row["url"]) is not None
    )
    arrived = _share(status.get(row["url"]) == KEPT for row in truth if row["kind"] in _WHOLE)
    evaluation = _evaluation(data)
    sections: dict[str, Any] = {
        "Arrived": {
            "whole pictures fetched": _percent(arrived),
            **{f"{kind}: refused": _percent(_refused(truth, status, kind)) for kind in _BAD},
        },
        "Copies found": {str(kind): _percent(share) for kind, share in found.items()},
        "Wrongly dropped": {"pictures without a copy or a rival": _percent(lost)},
    }
    goals = [
        _goal("exact, re-encoded and resized copies found", sure, 0.99, at_least=True),
        _goal("pictures wrongly dropped", lost, 0.005, at_least=False),
    ]
    if evaluation is not None:
        share = _percent(evaluation["top1"])
        sections["Top-1 on the test set"] = {"against the labels as listed": share}
    if evaluation is not None and drawn:
        top1 = _against_truth(data, truth, image)
        sections["Top-1 on the test set"] |= {
            "pictures whose label is right": _percent(top1["right"]),
            "pictures whose label is wrong: true species named": _percent(top1["seen_through"]),
        }
        what = "top-1 on rightly labelled test pictures"
        goals.append(_goal(what, top1["right"], 0.85, at_least=True))
    return {"sections": sections, "goals": goals}


def write(path: Path, found: dict[str, Any]) -> None:
    """Write the figures for the report."""
    with publish(path) as draft:
        draft.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


_BAD = (Kind.TRUNCATED, Kind.HTML, Kind.MISSING, Kind.FORBIDDEN, Kind.REDIRECT_LOOP, Kind.BOMB,
        Kind.TINY, Kind.OPTED_OUT)  # fmt: skip


def _kept(data: Path) -> dict[str, set[str]]:
    """Return species_id -> image_ids that stay under it."""
    verdicts = records.read(data / "verdicts" / "verdicts.parquet", records.VERDICTS)
    found: dict[str, set[str]] = defaultdict(set)
    for row in verdicts.filter(pc.equal(verdicts["verdict"], str(Verdict.KEEP))).to_pylist():
        found[row["species_id"]].add(row["image_id"])
    return found


def _both(row: dict[str, Any], image: dict[str, str]) -> bool:
    """Tell whether a copy and what it was made from were both fetched."""
    return row["url"] in image and row["copy_of"] in image


def _is_found(row: dict[str, Any], image: dict[str, str], kept: dict[str, set[str]]) -> bool:
    """Tell whether of a copy and its original at most one stays."""
    copy, original = image[row["url"]], image[row["copy_of"]]
    stay = {key for keys in kept.values() for key in keys & {copy, original}}
    return copy == original or len(stay) < 2


def _alone(truth: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the listings of whole pictures that nothing else in the web shows."""
    listed: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in truth:
        if row["picture_id"] is not None:
            listed[row["picture_id"]].append(row)
    return [
        rows[0] for rows in listed.values()
        if len({row["url"] for row in rows}) == 1
        and len({row["listed_species"] for row in rows}) == 1
        and rows[0]["kind"] in _WHOLE
    ]  # fmt: skip


def _refused(truth: Iterable[dict[str, Any]], status: dict[str, str], kind: Kind) -> float | None:
    urls = {row["url"] for row in truth if row["kind"] == kind and row["url"] in status}
    return _share(status[url] != KEPT for url in urls)


def _evaluation(data: Path) -> dict[str, Any] | None:
    path = data / "runs" / "main" / "evaluation.json"
    return json.loads(path.read_text(encoding="utf-8"))["test"] if path.is_file() else None


def _against_truth(
    data: Path, truth: Iterable[dict[str, Any]], image: dict[str, str]
) -> dict[str, float | None]:
    """Return top-1 on rightly labelled test pictures; how often a wrong label is seen through."""
    path = data / "runs" / "main" / "predictions-test.parquet"
    classes = records.read(data / "shards" / "classes.parquet", records.CLASSES).to_pylist()
    name = {row["label"]: row["name"] for row in classes}
    true = {image[row["url"]]: row["true_species"] for row in truth if row["url"] in image}
    right: list[bool] = []
    seen: list[bool] = []
    for row in records.read(path, records.PREDICTIONS).to_pylist():
        shown, guess = true.get(row["key"]), name[row["top_labels"][0]]
        (right if shown == name[row["label"]] else seen).append(guess == shown)
    return {"right": _share(right), "seen_through": _share(seen)}


def _share(hits: Iterable[bool]) -> float | None:
    known = list(hits)
    return sum(known) / len(known) if known else None


def _percent(share: float | None) -> str:
    return "none there" if share is None else f"{share:.1%}"


def _goal(what: str, share: float | None, goal: float, *, at_least: bool) -> dict[str, Any]:
    if share is None:
        raise ContractError(f"{what}: the demo's web has none, so it cannot be scored.")
    met = share >= goal if at_least else share <= goal
    sign = "at least" if at_least else "at most"
    return {"what": what, "value": _percent(share), "goal": f"{sign} {goal:.1%}", "met": met}
