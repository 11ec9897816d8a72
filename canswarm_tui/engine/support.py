"""What somebody who helps needs to see, in one archive, with every secret that is known here taken out."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from canswarm_tui import __version__
from canswarm_tui.engine.errors import EngineError, SettingsError
from canswarm_tui.engine.health.facts import Look
from canswarm_tui.engine.health.guided.registry import GUIDED
from canswarm_tui.engine.health.registry import LOOKS
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.place import Place, without_secrets
from canswarm_tui.engine.report_text import literal
from canswarm_tui.engine.settings import Settings, reveal

LOG_BYTES = 512 * 1024
HISTORY_ROWS = 5000
REDACTED = "[redacted]"
_SHORTEST = 4
"""A shorter secret would be found in every text."""
_LIBRARIES = (
    "textual", "automerge", "etcd3", "grpcio", "protobuf", "redis", "minio", "ipfshttpclient", "wasmtime", "pynacl",
    "nats-py", "httpx", "pydantic",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One file of the archive."""

    name: str
    content: bytes


def gather(settings: Settings, place: Place) -> tuple[Item, ...]:
    """Versions, settings without secrets, journal, report, the log's end, looks and guided checks; all redacted."""
    hidden = known_secrets(settings)
    return tuple(
        Item(name, redacted(text, hidden).encode("utf-8", "backslashreplace")) for name, text in _texts(settings, place)
    )


def known_secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret of the settings, passwords in addresses and values of v1's `.env`, the longest first."""
    found = {settings.site.test_command or ""}
    for value in _values(settings):
        if isinstance(value, SecretStr):
            found |= set(_parts(reveal(value) or ""))
        elif isinstance(value, str) and "@" in value:
            found |= set(_of_address(value))
    if settings.site.root is not None and settings.site.env_file.is_file():
        found |= set(_of_env(settings.site.env_file.read_text(errors="replace")))
    forms = {form for one in found for form in _forms(one)}
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST), key=lambda form: (-len(form), form)))


def _parts(secret: str) -> Iterator[str]:
    """A secret, and what of it is one by itself: `bearer:TOKEN`, `basic:USER:PASSWORD`."""
    yield secret
    how, _, rest = secret.partition(":")
    if how in ("bearer", "basic") and rest:
        yield rest
        yield rest.rpartition(":")[2]
        yield b64encode(rest.encode()).decode()


def _of_address(url: str) -> Iterator[str]:
    """The password of an address; where it has none the user, which then is a token."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    secret = parts.password or parts.username or ""
    yield secret
    yield unquote(secret)


def _of_env(text: str) -> Iterator[str]:
    """The values of a `.env` file, with and without quotes and a comment behind them."""
    for line in text.splitlines():
        _, equals, value = line.partition("=")
        for one in (value, value.partition(" #")[0], value.partition("\t#")[0]) if equals else ():
            yield one.strip()
            yield one.strip().strip("'\"")


def _forms(secret: str) -> Iterator[str]:
    """As it is, and as URLs, JSON, Python and Markdown write it."""
    yield secret
    yield literal(secret)
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]


def redacted(text: str, hidden: Iterable[str]) -> str:
    """The text with each secret in it replaced."""
    for secret in hidden:
        text = text.replace(secret, REDACTED)
    return text


def write_archive(path: Path, items: Iterable[Item]) -> None:
    """Written whole, readable by its owner alone. Raises `SettingsError`."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with tarfile.open(partial, "w:gz") as archive:
            for item in items:
                info = tarfile.TarInfo(f"canswarm-support/{item.name}")
                info.size, info.mode = len(item.content), 0o600
                archive.addfile(info, io.BytesIO(item.content))
        partial.replace(path)
    except OSError as exc:
        raise SettingsError(str(path), f"it can't be written: {exc.strerror}", "name another file with --out") from exc
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _texts(settings: Settings, place: Place) -> Iterator[tuple[str, str]]:
    yield "versions.json", _json(_versions())
    yield "settings.json", _json(dict(_told(settings)))
    yield "servers.json", _json(_servers(settings))
    yield "checks.json", _json(_checks(settings))
    if place.journal.exists():
        yield "journal.json", _json(_journal_or_why(place))
    for name in ("report.md", "report.json"):
        path = place.reports / name
        if path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="backslashreplace")
    if place.log.is_file():
        with place.log.open("rb") as log:
            skipped = max(0, place.log.stat().st_size - LOG_BYTES)
            log.seek(skipped)
            if skipped:
                log.readline()  # a line cut in two could begin within a secret
            yield "log-end.txt", log.read().decode("utf-8", "backslashreplace")


def _journal_or_why(place: Place) -> Mapping[str, object]:
    """A damaged journal is a reason for a bundle, not against one."""
    try:
        journal = Journal.observe(place.journal)
        try:
            return _journal(journal)
        finally:
            journal.close()
    except EngineError as exc:
        return {"error": str(exc)}


def _versions() -> Mapping[str, str]:
    libraries = {name: metadata.version(name) for name in _LIBRARIES if _is_installed(name)}
    return {
        "canswarm-tui": __version__, "python": sys.version, "system": platform.platform(), **libraries,
    }  # fmt: skip


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _told(group: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys; of a secret only whether it is set, of an address no password."""
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _told(value, f"{prefix}{name}.")
        elif isinstance(value, SecretStr) or (name == "test_command" and value):
            yield f"{prefix}{name}", "set, not shown"
        elif isinstance(value, str) and "://" in value:
            yield f"{prefix}{name}", without_secrets(value)
        elif isinstance(value, tuple):
            yield f"{prefix}{name}", [without_secrets(one) if "://" in one else one for one in value]
        else:
            yield f"{prefix}{name}", value


def _values(group: BaseModel) -> Iterator[object]:
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _values(value)
        elif isinstance(value, tuple):
            yield from value
        else:
            yield value


def _servers(settings: Settings) -> Mapping[str, object]:
    with ThreadPoolExecutor(len(LOOKS), thread_name_prefix="look") as pool:
        looks = pool.map(lambda look: look(settings), LOOKS.values())
        return {look.name: _look(look) for look in looks}


def _checks(settings: Settings) -> list[Mapping[str, object]]:
    with ThreadPoolExecutor(len(GUIDED), thread_name_prefix="check") as pool:
        done = pool.map(lambda checks: checks(settings), GUIDED.values())
        return [asdict(check) for checks in done for check in checks]


def _look(look: Look) -> Mapping[str, object]:
    return {
        "address": look.address, "condition": look.condition.value, "took_ms": look.took_ms,
        "error": None if look.error is None else str(look.error),
        "sections": {one.title: dict(one.facts) for one in look.sections},
        "worries": [f"{worry.subject}: {worry.happened}" for worry in look.worries],
    }  # fmt: skip


def _journal(journal: Journal) -> Mapping[str, object]:
    records = journal.records()
    return {
        "setup": journal.setup(),
        "steps": {name: asdict(record) for name, record in records.items()},
        "receipts": {name: journal.step(name).count_receipts() for name in records},
        "findings": [asdict(found) for found in journal.findings(with_gone=True)],
        "history": journal.history(limit=HISTORY_ROWS),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
