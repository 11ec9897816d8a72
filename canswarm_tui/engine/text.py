"""Data of a site as text for people: literal, complete where short, without control characters."""

from __future__ import annotations

import unicodedata

_NAMES = frozenset({"etcd", "ipfs", "opa", "redis", "nats", "minio"})
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def shown(data: bytes | str, limit: int = 4096) -> str:
    """`data` as one printable line: what is no UTF-8, and every control or direction character, is escaped."""
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    cut = text if len(text) <= limit else text[:limit] + f"… ({len(text):,} characters)"
    return "".join(_escaped(c) if unicodedata.category(c) in _HIDDEN else c for c in cut)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def advice(happened: str, remedy: str) -> str:
    """What happened and what to do about it, as sentences: `No answer. Check that it runs`; names stay as they are."""
    first = remedy.partition(" ")[0]
    if first.isascii() and first.isalpha() and first not in _NAMES:
        remedy = remedy[:1].upper() + remedy[1:]
    happened = happened.rstrip(".")
    return f"{happened}{'' if happened.endswith(('?', '!')) else '.'} {remedy}".rstrip()


def bytes_text(size_bytes: float) -> str:
    """A size in binary units with one decimal: `1.2 MiB`; exact below 1 KiB."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size_bytes /= 1024
        if size_bytes < 1024 or unit == "TiB":
            return f"{size_bytes:,.1f} {unit}"
    raise AssertionError("unreachable")


def counted(number: int, noun: str) -> str:
    """`1 difference`, `2,000 differences`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def waiting_text(findings: int) -> str:
    """`1 finding waits for a person`, `3 findings wait for a person`."""
    return f"{counted(findings, 'finding')} {'waits' if findings == 1 else 'wait'} for a person"


def duration_text(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
