"""Two texts with what differs in them marked, by a sign as well as by a style: `«…»`.

Compared word by word. Values are long at times: past a bound everything between the common beginning and the common
end counts as different, so that the time stays small whatever the texts are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

from rich.text import Text

from canswarm_tui.engine.text import shown
from canswarm_tui.theme import style_of

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_COMPARED_WORDS = 400
BEGIN, END = "«", "»"
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def differing_texts(left: str, right: str, theme: str) -> tuple[Text, Text]:
    """Both, which must be printable already (`engine.text.shown`), as one flow of text each."""
    one, other = _WORD.findall(left), _WORD.findall(right)
    texts = Text(), Text()
    style = style_of("differs", theme)
    for equal, here, there in _parts(one, other):
        for text, words in zip(texts, (here, there), strict=True):
            if equal:
                text.append("".join(words))
            else:
                text.append(f"{BEGIN}{''.join(words)}{END}", style)
    return texts


def differing_fields(left: str, right: str) -> tuple[str, ...] | None:
    """Names of the fields in which two JSON objects differ, sorted; None where one of the two is no JSON object."""
    one, other = _object(left), _object(right)
    if one is None or other is None:
        return None
    return tuple(sorted(n for n in one.keys() | other.keys() if n not in one or n not in other or one[n] != other[n]))


def _parts(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    """(equal, words of the one, words of the other), in order."""
    begin = _common(zip(one, other, strict=False))
    rest = min(len(one), len(other)) - begin
    end = min(rest, _common(zip(reversed(one), reversed(other), strict=False)))
    if begin:
        yield True, one[:begin], other[:begin]
    yield from _middle(one[begin : len(one) - end], other[begin : len(other) - end])
    if end:
        yield True, one[len(one) - end :], other[len(other) - end :]


def _middle(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    if not one and not other:
        return
    if max(len(one), len(other)) > _COMPARED_WORDS:
        yield False, one, other
        return
    for tag, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        yield tag == "equal", one[a:b], other[c:d]


def _common(pairs: Iterator[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _object(text: str) -> dict[str, Json] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {shown(name, 60): field for name, field in value.items()} if isinstance(value, dict) else None
