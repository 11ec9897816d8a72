"""A program that runs steps in children of its own and kills one with SIGKILL at the n-th boundary of its journal.

Reads `run STEP N` (0: never kill), `kill STEP SECONDS` (from outside) and `undo STEP` from standard input; answers
each with `STATUS BOUNDARIES`. The children are forked before any client exists, so that each begins afresh without
loading everything again. Batches are small, so that there are several. Settings come from the environment, as for the
real command line.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback

from canswarm_tui.engine import registry
from canswarm_tui.engine.runner import Runner
from canswarm_tui.engine.settings_file import load_settings
from canswarm_tui.engine.v2.blobs_ipfs import IpfsSink
from canswarm_tui.engine.v2.blobs_minio import BlobSink
from canswarm_tui.engine.v2.decisions import EtcdSink

SMALL_BATCH = 12


def work(verb: str, step: str, kill_at: int) -> int:
    """What a child does; returns how many boundaries it has passed."""
    passed = 0

    def fault(_boundary: str) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    EtcdSink.max_records = BlobSink.max_records = IpfsSink.max_records = SMALL_BATCH
    Runner._require_needs = lambda *_: None  # type: ignore[method-assign]
    runner = Runner(load_settings().settings, lambda _event: None, fault=fault)
    if verb == "undo":
        runner.undo(step)
    else:
        runner.run([step])
    return passed


def child(verb: str, step: str, kill_at: int, answer: int) -> None:
    try:
        os.write(answer, str(work(verb, step, kill_at)).encode())
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def main() -> None:
    for name in ("decisions", "blobs-minio", "blobs-ipfs", "plan-store"):
        registry.step(name)
    for line in sys.stdin:
        verb, step, *rest = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(verb, step, int(rest[0]) if verb == "run" else 0, writing)
        os.close(writing)
        if verb == "kill":
            time.sleep(float(rest[0]))
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        passed = os.read(reading, 100).decode() or "0"
        os.close(reading)
        sys.stdout.write(f"{status} {passed}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
