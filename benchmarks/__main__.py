"""`python -m benchmarks [NAME…] [--quick]`: measure, and write the table and the figures into `docs/`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks import blobs, interface, lists, memory, stores, whole
from benchmarks.measure import Result
from canswarm_tui import __version__

DOCS = Path(__file__).resolve().parent.parent / "docs"
ALL: dict[str, Callable[[Path, float], Iterator[Result]]] = {
    "inventory": stores.inventory,
    "decisions": stores.decisions_to_etcd,
    "blobs": blobs.blobs_to_minio_and_ipfs,
    "policy": whole.policy,
    "ops": whole.million_ops,
    "memory": memory.flatness,
    "site": whole.whole_site,
    "interface": interface.interface,
    "lists": lists.lists,
}
QUICK = 0.1
WANTED = {
    "the journal's share, blobs": "the same copy into MinIO with and without commits",
    "a whole site": "10,000 threads, every step, verification included, in 180 s",
    "memory for 100 times as many decisions": "flat from 10,000 to 1,000,000 records",
}
"""Figures that the table must name also while they are missing."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ALL, []], metavar="NAME", help=", ".join(ALL))
    parser.add_argument("--quick", action="store_true", help="a tenth of the size; nothing is written into docs/")
    options = parser.parse_args()
    for name in options.names or ALL:
        print(f"{name} …", flush=True)
        measured: dict[str, dict[str, object]] = {}
        with tempfile.TemporaryDirectory(prefix="canswarm-bench-") as folder:
            for result in ALL[name](Path(folder), QUICK if options.quick else 1.0):
                print("  " + _line(asdict(result)), flush=True)
                measured[result.name] = {
                    **asdict(result),
                    "met": result.met,
                    "measured": time.strftime("%Y-%m-%d"),
                }
        if not options.quick:
            # Read only now: another run may have written its own results meanwhile.
            known = _known()
            known["results"].update(measured)
            _write(known)
    return 0


def _known() -> dict[str, dict[str, dict[str, object]]]:
    path = DOCS / "benchmarks.json"
    known = json.loads(path.read_text()) if path.exists() else {"results": {}}
    known["machine"] = {
        "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "system": platform.system(),
        "canswarm-tui": __version__,
    }  # fmt: skip
    return dict(known)


def _line(one: dict[str, object]) -> str:
    wanted = f"wanted {'≥' if one['at_least'] else '≤'} {one['target']:g} {one['unit']}"
    return f"{one['name']}: {one['value']:.1f} {one['unit']} ({wanted}); {one['detail']}"


def _write(known: dict[str, dict[str, dict[str, object]]]) -> None:
    (DOCS / "benchmarks.json").write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n")
    machine = known["machine"]
    lines = [
        "# Benchmarks", "",
        "Written by `make bench` (`python -m benchmarks`), from `benchmarks.json`. A ratio is taken in one run on one",
        "machine: the median of three rounds, in each of which ours and the peer's run one after another. Seconds and",
        "memory are of a single run. Absolute figures are for comparing shapes, not promises.", "",
        f"Machine: {machine['cores']} cores, shared with other work, Python {machine['python']}.", "",
        "| what | measured | wanted | | how | when |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for one in known["results"].values():
        sign = "≥" if one["at_least"] else "≤"
        met = "met" if one["met"] else "**not met**"
        lines.append(
            f"| {one['name']} | {one['value']:.1f} {one['unit']} | {sign} {one['target']:g} {one['unit']} | {met} |"
            f" {one['detail']} | {one['measured']} |"
        )
    missing = [f"- {name}: {what}" for name, what in WANTED.items() if name not in known["results"]]
    if missing:
        lines += ["", "Not measured yet:", "", *missing]
    (DOCS / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
