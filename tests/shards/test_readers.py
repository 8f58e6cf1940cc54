"""What was packed, read by the libraries that others use, none of them ours."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import webdataset

from flora import records
from flora.command import Options
from shards.__main__ import shards
from tests import dataset

Sample = tuple[str, int, bytes, dict[str, Any]]
"""Key, label, picture, what is told of it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cluster: str) -> Path:
    """Shards in form original, so that a picture's bytes are known by its key."""
    data = tmp_path_factory.mktemp("data")
    dataset.write(data)
    sets = ("shards.form=original", "shards.stripe_bytes=16384", "shards.stripes=4")
    shards(Options(data=data, cluster=cluster, sets=sets))
    return data / "shards"


def agree(folder: Path, samples: list[Sample], split: str) -> None:
    """Hold *samples* against the index: the same ones, in the same order."""
    index = records.read(folder / "index.parquet", records.INDEX).to_pylist()
    rows = [row for row in index if row["split"] == split]
    assert [key for key, *_ in samples] == [row["key"] for row in rows]
    for row, (_, label, picture, about) in zip(rows, samples, strict=True):
        assert label == row["label"]
        assert hashlib.sha256(picture).hexdigest() == row["image_id"]
        assert about["species_id"] == row["species_id"]
        assert about["creator"] == "Jane Ö."


def tars(folder: Path, split: str) -> list[str]:
    return [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]


# webdataset 1.0 leaves closing its files to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_webdataset_reads_every_sample_in_order(folder: Path, split: str) -> None:
    read = webdataset.WebDataset(tars(folder, split), shardshuffle=False)
    agree(folder, [
        (each["__key__"], int(each["cls"]), each["jpg"], json.loads(each["json"])) for each in read
    ], split)  # fmt: skip


def test_tarfile_reads_every_sample_in_order(folder: Path) -> None:
    def samples() -> Iterator[Sample]:
        for path in tars(folder, "train"):
            with tarfile.open(path) as tar:
                files = [(each.name.partition("."), tar.extractfile(each)) for each in tar]
                content = [(name[0], name[2], file.read()) for name, file in files if file]
            for one in range(0, len(content), 3):
                members = {suffix: data for _, suffix, data in content[one : one + 3]}
                assert len({key for key, _, _ in content[one : one + 3]}) == 1
                yield (content[one][0], int(members["cls"]), members["jpg"],
                       json.loads(members["json"]))  # fmt: skip

    agree(folder, list(samples()), "train")


HUB = """
import base64, json, sys
import datasets
for streaming in (True, False):
    data = datasets.load_dataset(sys.argv[1], streaming=streaming)
    for name, split in data.items():
        for row in split.cast_column("jpg", datasets.Image(decode=False)):
            picture = base64.b64encode(row["jpg"]["bytes"]).decode()
            told = name, row["__key__"], row["cls"], picture, row["json"]
            print(json.dumps([streaming, *told]))
"""


def test_hugging_face_datasets_finds_splits_and_columns_in_the_card(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    lines = [json.loads(line) for line in run(tmp_path, HUB, folder).splitlines()]
    for streaming in (True, False):
        for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
            agree(folder, [
                (key, label, base64.b64decode(picture), about)
                for how, found, key, label, picture, about in lines
                if (how, found) == (streaming, name)
            ], split)  # fmt: skip


def test_the_lines_of_the_card_run_as_they_stand(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    text = (folder / "README.md").read_text(encoding="utf-8")
    text = text.replace("path/of/this/folder", str(folder))
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    seen = "print(image.size, label, about['creator'])"
    right = "import hashlib\nprint(hashlib.sha256(picture).hexdigest() == row['key'])"
    first = records.read(folder / "index.parquet", records.INDEX, ["label"])["label"][0].as_py()
    code = "\n".join([blocks[0], seen, blocks[1], seen, blocks[2], right])
    assert run(tmp_path, code, folder) == f"(96, 72) {first} Jane Ö.\n" * 2 + "True\n"


def run(home: Path, code: str, folder: Path) -> str:
    """Run *code*, as somebody would who has only the folder; return what it printed."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        cwd=folder,
        env={**os.environ, "HOME": str(home), "HF_HOME": str(home / "hub"), "HF_HUB_OFFLINE": "1",
             "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "USE_TORCH": "0",
             "PYTHONIOENCODING": "utf-8"},
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_sha256sum_agrees(folder: Path) -> None:
    command = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
