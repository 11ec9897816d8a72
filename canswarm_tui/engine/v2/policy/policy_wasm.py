"""The policy as WASM on this machine: evaluated with a deadline and a memory cap, and kept in a folder as files.

The runtime notices neither a flipped byte nor a wrong entrypoint, so both are checked here before anything is decided.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import opapywasm

from canswarm_tui.engine.errors import Defect, EngineError, NoSpace, Refused, SettingsError, WrongAnswer
from canswarm_tui.engine.records import Fate, Landed, Record, Removal, Wanted
from canswarm_tui.engine.v2.policy.answer import (
    DECISION,
    DECISIONS,
    ENTRYPOINTS,
    UNDEFINED,
    Answer,
    Json,
    batch_input,
    batches,
    read_answer,
    read_answers,
)

DEADLINE_S: Final = 5.0
MEMORY_PAGES: Final = 2048
"""Of 64 KiB: 128 MiB."""
_SUBJECT: Final = "policy.wasm"
_EXISTING_BYTES: Final = 4096


class WasmPolicy:
    """Decides in this process; may be used from several threads, but one evaluates at a time. Close it."""

    def __init__(self, wasm: bytes, sha256: str, document: dict[str, Json], deadline_s: float = DEADLINE_S) -> None:
        """`sha256` is what the bytes must have; raises `WrongAnswer` where they are another policy, or none."""
        found = hashlib.sha256(wasm).hexdigest()
        if found != sha256:
            raise WrongAnswer(_SUBJECT, f"its SHA-256 is {found}, not {sha256}", "run the step again: it is damaged")
        config = opapywasm.PolicyConfig(
            pool_size=1, eval_timeout_seconds=deadline_s, max_memory_pages=MEMORY_PAGES, parse_raw_json_input=False,
            borrow_timeout_seconds=deadline_s * 2,
        )  # fmt: skip
        with wasm_errors():
            self._policy = opapywasm.OpaWasmPolicy.from_wasm_bytes(wasm, config)
            missing = [name for name in ENTRYPOINTS if name not in self._policy.entrypoints]
            if missing:
                self._policy.close()
                raise WrongAnswer(_SUBJECT, f"it has no entrypoint {missing[0]}", "build it again with all of them")
            self._policy.set_data(document)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._policy.close()

    @property
    def entrypoints(self) -> tuple[tuple[str, int], ...]:
        """Name and number, by number."""
        return tuple(sorted(self._policy.entrypoints.items(), key=lambda one: one[1]))

    @property
    def builtins(self) -> tuple[str, ...]:
        """Functions that it asks of the host because WASM has none of its own, sorted."""
        return tuple(sorted(self._policy.builtins))

    def decide(self, input_text: bytes) -> Answer:
        """One decision over one input (JSON); `UNDEFINED` where the policy has none."""
        with wasm_errors():
            value = self._policy.evaluate(input_text, DECISION)
        return UNDEFINED if value is opapywasm.UNDEFINED else read_answer(value)

    def decide_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """One decision for each input, in order; cut into calls that the runtime takes."""
        return [answer for part in batches(inputs) for answer in self._decide_part(part)]

    def _decide_part(self, part: list[bytes]) -> list[Answer]:
        with wasm_errors():
            value = self._policy.evaluate(batch_input(part), DECISIONS)
        return [UNDEFINED] * len(part) if value is opapywasm.UNDEFINED else read_answers(value, len(part))


@contextmanager
def wasm_errors() -> Iterator[None]:
    """Turns whatever the runtime raises inside into an `EngineError`."""
    try:
        yield
    except opapywasm.OpaWasmError as exc:
        raise translated(exc) from exc


def translated(exc: opapywasm.OpaWasmError) -> EngineError:
    """Our error for one of the runtime's."""
    happened = f"{type(exc).__name__}: {exc}"
    match exc:
        case opapywasm.OpaInvalidInputError() | opapywasm.OpaPolicyClosedError() | opapywasm.OpaDataError():
            return Defect(_SUBJECT, happened, "report this with the log")
        case opapywasm.OpaEntrypointError() | opapywasm.OpaAbiError() | opapywasm.OpaInvalidPolicyError():
            return WrongAnswer(_SUBJECT, happened, "build it again from its Rego with opa 1.x")
        case opapywasm.OpaBuiltinError():
            return SettingsError(_SUBJECT, happened, "don't use built-in functions that WASM does not have")
        case opapywasm.OpaMemoryError() | opapywasm.OpaAbortError():
            return WrongAnswer(_SUBJECT, happened, "the rules take too much memory, or refuse this input: mend them")
        case opapywasm.OpaEvaluationError():
            return WrongAnswer(_SUBJECT, happened, "the rules don't come to an end in time: mend them")
        case opapywasm.OpaPoolTimeoutError():
            return WrongAnswer(_SUBJECT, happened, "another evaluation does not end: mend the rules")
        case _:
            return Defect(_SUBJECT, happened, "report this with the log")


class PolicyFolder:
    """Where the WASM, its data and its manifest lie; file names are the keys. A sink that only creates."""

    max_records = 100
    max_bytes = 64 << 20

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: bytes) -> Path:
        return self._folder / key.decode()

    def held(self, key: bytes) -> bytes | None:
        """The file's content, or None where there is none."""
        with _file_errors(self.path(key)):
            try:
                return self.path(key).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, batch: Sequence[Record], tag: str) -> Sequence[Landed]:
        """Each file whole or not at all; the tag of a file being written is in its temporary name."""
        return [self._write(record, tag) for record in batch]

    def settle(self, batch: Sequence[Wanted], tag: str) -> Sequence[Landed]:  # noqa: ARG002 - the folder is ours alone
        """The folder is this run's own, under its lock: what is there and equal was made by it."""
        return [self._found(wanted, Fate.CREATED) for wanted in batch]

    def remove(self, batch: Sequence[Wanted], tag: str) -> Sequence[Removal]:  # noqa: ARG002
        return [self._remove(wanted) for wanted in batch]

    def _write(self, record: Record, tag: str) -> Landed:
        found = self._found(Wanted(record.key, record.digest, record.size), Fate.PRESENT)
        if found.fate is not Fate.ABSENT:
            return found
        assert isinstance(record.body, bytes)
        path = self.path(record.key)
        with _file_errors(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_atomically(path, record.body, tag)
        return Landed(record.key, Fate.CREATED, str(path))

    def _found(self, wanted: Wanted, equal: Fate) -> Landed:
        held = self.held(wanted.key)
        if held is None:
            return Landed(wanted.key, Fate.ABSENT)
        if hashlib.sha256(held).digest() == wanted.digest:
            return Landed(wanted.key, equal, str(self.path(wanted.key)))
        return Landed(wanted.key, Fate.CONFLICT, str(self.path(wanted.key)), held[:_EXISTING_BYTES])

    def _remove(self, wanted: Wanted) -> Removal:
        held = self.held(wanted.key)
        if held is None:
            return Removal.GONE
        if hashlib.sha256(held).digest() != wanted.digest:
            return Removal.KEPT
        with _file_errors(self.path(wanted.key)):
            self.path(wanted.key).unlink(missing_ok=True)
            with suppress(OSError):  # other files are in it
                self._folder.rmdir()
        return Removal.REMOVED


def _write_atomically(path: Path, body: bytes, tag: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.{tag}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        happened = exc.strerror or str(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(str(path), happened, "free some space on its disk") from exc
        raise Refused(str(path), happened, "check the folder, its rights and its disk") from exc
