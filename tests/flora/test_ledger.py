import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flora import ledger
from flora.errors import ContractError, StageError
from flora.ledger import Ledger, Receipt, publish, slug, sweep


def test_a_crash_while_writing_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), publish(tmp_path / "oak.parquet") as draft:
        draft.write_bytes(b"half an oak")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_a_draft_that_sweep_removes(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from flora.ledger import publish\n"
        "with publish(Path(sys.argv[1])) as draft:\n"
        "    draft.write_bytes(b'half an oak'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "oak.parquet"], check=False)
    assert done.returncode == -signal.SIGKILL
    (kept := tmp_path / ".lock").touch()
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_receipt_comes_back_as_it_was_written(tmp_path: Path) -> None:
    receipt = Receipt(unit="a.org/000-0001", recipe="r", rows=3, refused={"robots": 2})
    Ledger(tmp_path).write(receipt)
    assert Ledger(tmp_path).receipts() == {"a.org/000-0001": receipt}
    Ledger(tmp_path).forget("a.org/000-0001")
    assert Ledger(tmp_path).receipts() == {}


def test_a_broken_receipt_is_named(tmp_path: Path) -> None:
    Ledger(tmp_path).write(Receipt(unit="a", recipe="r"))
    Ledger(tmp_path).path("a").write_text("{")
    with pytest.raises(ContractError, match=r"a\.json: not a receipt"):
        Ledger(tmp_path).receipts()


def test_a_second_run_on_a_folder_says_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "LOCK_PATIENCE", 0.2)
    with (
        Ledger(tmp_path).lock(),
        pytest.raises(StageError, match=f"process {os.getpid()}"),
        Ledger(tmp_path).lock(),
    ):
        pass
    with Ledger(tmp_path).lock():
        pass


@pytest.mark.parametrize("name", ["", "../up", "a//b", "a/../b/ü", "/etc", ".hidden", "x" * 300])
def test_a_name_from_outside_cannot_become_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="is not a unit name"):
        slug(name)
