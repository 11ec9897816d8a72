from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from canswarm_tui.engine.errors import Defect, NoSpace, Refused, SiteUnreadable
from canswarm_tui.engine.v2.plan_document.children import Crew
from canswarm_tui.engine.v2.plan_document.files import DamagedDocument, file_errors
from canswarm_tui.engine.v2.plan_document.jobs import Job, ReadJob


def job(document: Path) -> ReadJob:
    return ReadJob(str(document), False, *(str(document.with_name(name)) for name in ("ops", "tasks", "edges")))


def run(jobs: list[Job], scratch: Path) -> None:
    with Crew(2, scratch, lambda: None) as crew:
        list(crew.work(jobs, lambda _rows: None, lambda _conflict: None))


def test_a_childs_error_comes_back_as_the_same_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.bin"
    empty.touch()
    with pytest.raises(DamagedDocument, match="empty"):
        run([job(empty)], tmp_path)
    with pytest.raises(SiteUnreadable, match="No such file"):
        run([job(tmp_path / "missing.bin")], tmp_path)


def test_a_childs_mistake_is_a_defect_with_its_reason(tmp_path: Path) -> None:
    broken = ReadJob(None, False, "", "", "")  # type: ignore[arg-type]
    with pytest.raises(Defect, match="TypeError"):
        run([broken], tmp_path)


def test_a_child_that_is_killed_is_told_as_want_of_memory(tmp_path: Path) -> None:
    fifo = tmp_path / "never.bin"
    os.mkfifo(fifo)

    def kill_the_child() -> None:
        for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            if b"plan_document.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), 9)

    with pytest.raises(NoSpace, match="killed"), Crew(1, tmp_path, kill_the_child) as crew:
        list(crew.work([job(fifo)], lambda _rows: None, lambda _conflict: None))


def test_secrets_of_the_environment_stay_with_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANSWARM_S3__SECRET_KEY", "hush")
    monkeypatch.setenv("SWARM_SIGNING_SK_B64", "hush")
    fifo = tmp_path / "never.bin"
    os.mkfifo(fifo)
    seen: list[bytes] = []

    class Looked(Exception):
        pass

    def look() -> None:
        for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            if b"plan_document.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                seen.append(Path(f"/proc/{pid}/environ").read_bytes())
                raise Looked

    with pytest.raises(Looked), Crew(1, tmp_path, look) as crew:
        list(crew.work([job(fifo)], lambda _rows: None, lambda _conflict: None))
    assert b"PATH=" in seen[0]
    assert b"hush" not in seen[0]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EFBIG, NoSpace),
        (errno.EACCES, Refused),
        (errno.EPERM, Refused),
        (errno.EROFS, Refused),
        (errno.EIO, SiteUnreadable),
        (errno.ENOENT, SiteUnreadable),
    ],
)
def test_every_fault_of_a_disk_becomes_an_error_with_a_remedy(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind), file_errors(Path("x")):
        raise OSError(number, os.strerror(number))


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(NoSpace), file_errors(full), full.open("wb", buffering=0) as stream:
        stream.write(b"x")
