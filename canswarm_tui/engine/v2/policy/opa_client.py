"""OPA's REST API as this migration needs it: policies, data, decisions, health and version.

Usable from several threads. Every call has a time-out. Reference: https://www.openpolicyagent.org/docs/latest/rest-api/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import httpx

from canswarm_tui.engine.changes import NAME_CHARS, tell_change
from canswarm_tui.engine.errors import WrongAnswer
from canswarm_tui.engine.http import bearer, check_status, http_client, http_errors
from canswarm_tui.engine.settings import OpaSettings
from canswarm_tui.engine.v2.policy.answer import (
    ALLOW,
    DECISION,
    DECISIONS,
    UNDEFINED,
    Answer,
    Json,
    batch_input,
    read_answer,
    read_answers,
)

_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Module:
    """A policy module that the server holds."""

    id: str
    package: str
    """With dots, without `data`."""
    raw: bytes


class OpaClient:
    """One server. Raises `EngineError`s: Unreachable, Refused (token), WrongAnswer; close it, or use `with`."""

    def __init__(self, settings: OpaSettings, connections: int = 16) -> None:
        self._subject = f"OPA at {settings.url}"
        self._http = http_client(
            settings.url, timeout_s=settings.timeout_s, ca=settings.ca, authorization=bearer(settings.token),
            connections=connections,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def check_health(self) -> None:
        """Returns when the server says that it is well, bundles and plugins included; raises otherwise."""
        self._request("GET", "/health?bundles&plugins")

    def version(self) -> str:
        """Such as `1.22.2`; `unknown` where the server's own policy forbids to ask."""
        try:
            answer = self._json("POST", "/v1/query", b'{"query":"x := opa.runtime().version"}')
        except WrongAnswer:
            return "unknown"
        rows = answer.get("result")
        first = rows[0] if isinstance(rows, list) and rows else None
        found = first.get("x") if isinstance(first, dict) else None
        return found if isinstance(found, str) else "unknown"

    def modules(self) -> list[Module]:
        """Every policy module, sorted by id."""
        rows = self._json("GET", "/v1/policies").get("result", [])
        with self._expected_fields():
            found = [self._module(row) for row in rows]  # type: ignore[union-attr]
        return sorted(found, key=lambda module: module.id)

    def put_module(self, identity: str, raw: bytes) -> None:
        """Create or overwrite: look before. Raises `WrongAnswer` where the Rego does not compile with what is there."""
        self._request("PUT", f"/v1/policies/{quote(identity)}", raw, {"Content-Type": "text/plain"})

    def delete_module(self, identity: str) -> bool:
        """False where there was none."""
        return self._delete(f"/v1/policies/{quote(identity)}")

    def data(self, path: Sequence[str]) -> Json:
        """The document there (rules included), or None where it is undefined."""
        return self._json("GET", _data_url(path)).get("result")

    def create_data(self, path: Sequence[str], text: bytes) -> bool:
        """Create a document of JSON; False where something was there, which is then left alone."""
        response = self._request("PUT", _data_url(path), text, {**_JSON, "If-None-Match": "*"})
        return response.status_code != httpx.codes.NOT_MODIFIED

    def replace_data(self, path: Sequence[str], text: bytes) -> None:
        """Create or overwrite."""
        self._request("PUT", _data_url(path), text, _JSON)

    def delete_data(self, path: Sequence[str]) -> bool:
        """False where there was none."""
        return self._delete(_data_url(path))

    def decide(self, input_text: bytes) -> Answer:
        """One decision over one input (JSON); `UNDEFINED` where the server has none."""
        answer = self._json("POST", f"/v1/data/{DECISION}", b'{"input":' + input_text + b"}")
        return read_answer(answer["result"]) if "result" in answer else UNDEFINED

    def allows(self, input_text: bytes) -> bool | None:
        """What `allow` says, the path that the guide's code asks; None where it is undefined or no truth value."""
        result = self._json("POST", f"/v1/data/{ALLOW}", b'{"input":' + input_text + b"}").get("result")
        return result if isinstance(result, bool) else None

    def decide_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """One decision for each input, in order, in one request."""
        body = b'{"input":' + batch_input(list(inputs)) + b"}"
        answer = self._json("POST", f"/v1/data/{DECISIONS}", body)
        return read_answers(answer["result"], len(inputs)) if "result" in answer else [UNDEFINED] * len(inputs)

    def _module(self, row: Json) -> Module:
        assert isinstance(row, dict)
        identity, raw, tree = row["id"], row["raw"], row["ast"]
        path = tree["package"]["path"]  # type: ignore[index, call-overload]
        package = ".".join(str(term["value"]) for term in path[1:])  # type: ignore[index, call-overload, union-attr]
        return Module(str(identity), package, str(raw).encode())

    def _delete(self, url: str) -> bool:
        with http_errors(self._subject):
            response = self._http.delete(url)
            if response.status_code == httpx.codes.NOT_FOUND:
                return False
            check_status(response)
        tell_change(self._subject, f"DELETE {url[:NAME_CHARS]}")
        return True

    def _json(self, method: str, url: str, body: bytes | None = None) -> dict[str, Json]:
        response = self._request(method, url, body, _JSON if body is not None else None)
        with http_errors(self._subject):
            answer = json.loads(response.content)
        if not isinstance(answer, dict):
            raise WrongAnswer(self._subject, "its answer is no JSON object", "see whether opa.url is that of an OPA")
        return answer

    def _request(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        with http_errors(self._subject):
            response = self._http.request(method, url, content=body, headers=headers)
            if method == "PUT":
                size = len(body or b"")
                tell_change(self._subject, f"PUT {url[:NAME_CHARS]}, {size:,} bytes: HTTP {response.status_code}")
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return response
            return check_status(response)

    @contextmanager
    def _expected_fields(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, IndexError, TypeError, AssertionError) as exc:
            raise WrongAnswer(
                self._subject, "its list of policies is not as OPA writes it", "see whether opa.url is that of an OPA"
            ) from exc


def _data_url(path: Sequence[str]) -> str:
    return "/v1/data" + "".join(f"/{quote(part, safe='')}" for part in path)
