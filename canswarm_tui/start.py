"""The way in where no site is named: past runs to go on with, or a form whose connections are tested meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import DataTable, Footer, Input, Static

from canswarm_tui.commands.setup import check_answer, values_now, what_is_no_site, write_settings
from canswarm_tui.driver import SwarmDriver
from canswarm_tui.engine.checklist import BY_NAME, STEPS
from canswarm_tui.engine.errors import EngineError, SettingsError
from canswarm_tui.engine.journal import Journal
from canswarm_tui.engine.probe import probe
from canswarm_tui.engine.settings import Settings
from canswarm_tui.engine.settings_file import (
    default_file,
    find_file,
    known_keys,
    load_settings,
    secret_keys,
    settings_of,
)
from canswarm_tui.engine.text import shown
from canswarm_tui.model import FINISHED
from canswarm_tui.preferences import Preferences
from canswarm_tui.theme import DARK, LIGHT
from canswarm_tui.widgets.drawing import draw
from canswarm_tui.widgets.row_table import RowTable

FORM: Mapping[str, str] = {
    "site.root": "", "site.redis_url": "redis", "site.redis_password": "redis", "site.nats_url": "nats",
    "etcd.endpoints": "etcd", "etcd.user": "etcd", "etcd.password": "etcd", "s3.endpoint": "minio",
    "s3.access_key": "minio", "s3.secret_key": "minio", "s3.bucket": "minio", "ipfs.api": "ipfs", "opa.url": "opa",
}  # fmt: skip
"""What is asked for, and the server that it belongs to."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that this user's state folder knows."""

    root: str
    steps: int
    """How many of the checklist's steps have run."""
    journal: Path
    following: str = ""
    """The title of the next step; empty where nothing is left."""
    last_at: float = 0.0
    """When a step began or ended last, in seconds since 1970."""


def past_runs(state_dir: Path) -> Iterator[PastRun]:
    """Every run whose journal can be read, the newest first."""
    journals = sorted((state_dir / "sites").glob("*/journal.db"), key=lambda path: -path.stat().st_mtime)
    for path in journals:
        try:
            journal = Journal.observe(path)
        except EngineError:
            continue
        try:
            root = journal.setup().get("site.root", "")
            records = {name: record for name, record in journal.records().items() if name in BY_NAME}
        except EngineError:
            continue
        finally:
            journal.close()
        if root:
            steps = sum(record.outcome is not None for record in records.values())
            left = (i.title for i in STEPS if i.name not in records or records[i.name].state not in FINISHED)
            yield PastRun(
                root, steps, path, next(left, ""), max((r.changed_at or 0.0 for r in records.values()), default=0.0)
            )


class Tested(Message):
    """The server that a field names has answered, or has not."""

    def __init__(self, key: str, value: str, text: str) -> None:
        super().__init__()
        self.key, self.value, self.text = key, value, text


class StartApp(App[Settings], inherit_bindings=False):
    """Ends with the settings to go on with, or with None."""

    CSS_PATH = "start.tcss"
    TITLE = "canswarm-tui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "go", "Save and go on", id="start-go", key_display="F5"),
        Binding("tab", "app.focus_next", "Next field", id="start-next", priority=True),
        Binding("shift+tab", "app.focus_previous", "Field before", id="start-before", show=False),
        Binding("escape,ctrl+q,ctrl+c", "quit", "Leave", id="start-leave", key_display="esc"),
    ]

    def __init__(
        self, preferences: Preferences, file: Path | None = None, flags: Mapping[str, str] | None = None
    ) -> None:
        """`flags` are settings of the command line, which hold whichever way is taken; the form shows those it has."""
        super().__init__(driver_class=SwarmDriver)
        self._flags = dict(flags or {})
        self._file = find_file(file) or default_file()
        self._config = file
        self._values = {**values_now(self._file), **self._flags}
        self._past = list(past_runs(Path(self._values.get("state_dir") or Settings().state_dir)))
        self._tested: dict[str, str] = {}
        """By server: what it was last asked with."""
        self._answers: dict[str, tuple[str, str]] = {}
        """By field: the value that it had, and what was said of it."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = preferences.theme

    def compose(self) -> ComposeResult:
        yield Static("CAN Swarm v1 → v2   which site?", id="head", markup=False)
        if self._past:
            yield Static("Runs to go on with: Enter opens one where it stands", classes="title", markup=False)
            yield RowTable(id="past", show_header=False)
        name = "Or name a site and its servers" if self._past else "Name a site and its servers"
        yield Static(name, classes="title", markup=False)
        with VerticalScroll(id="form"):
            for key, told in known_keys().items():
                if key in FORM:
                    yield Static(f"{key}   {told}", classes="label", markup=False)
                    secret = key in secret_keys()
                    hint = "env:NAME, file:PATH or the secret itself" if secret else ""
                    yield Input(
                        self._values.get(key, ""), id=_field(key), placeholder=hint, password=secret, compact=True
                    )
                    yield Static("", id=f"{_field(key)}-said", classes="said", markup=False)
        yield Static(f"To be saved in {shown(str(self._file), 300)} (0600)", id="where", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        if not self._past:
            self.query_one(f"#{_field('site.root')}", Input).focus()
            return
        table = cast("DataTable[Text]", self.query_one("#past", DataTable))
        table.add_columns("site", "done", "last")
        for number, run in enumerate(self._past):
            table.add_row(*map(Text, _told(run)), key=str(number))
        table.focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        try:
            root = self._past[int(str(event.row_key.value))].root
            self.exit(load_settings(self._config, {**self._flags, "site.root": root}).settings)
        except SettingsError as exc:
            self._tell(exc)

    def on_input_blurred(self, event: Input.Blurred) -> None:
        """What can't be is said at once; a server is asked, in a thread."""
        key = _key(event.input.id or "")
        try:
            check_answer(key, event.value)
            if key == "site.root" and event.value and (wrong := what_is_no_site(Path(event.value).expanduser())):
                raise SettingsError(key, wrong, "")
        except SettingsError as exc:
            self._say(key, f"✗ {exc.happened}")
            return
        known, words = self._answers.get(key, ("", ""))
        self._say(key, words if known == event.value else "")
        server = FORM[key]
        if event.value and server and self._tested.get(server) != self._fingerprint(server):
            self._tested[server] = self._fingerprint(server)
            self._say(key, f"… asking {server}")
            threading.Thread(target=self._test, args=(key, server, self._given()), daemon=True).start()

    def on_tested(self, message: Tested) -> None:
        self._answers[message.key] = (message.value, message.text)
        self._say(message.key, message.text)

    @property
    def failure(self) -> Exception | None:
        """What ended the form that should not have."""
        return self._exception

    def _fatal_error(self) -> None:
        """Textual would print every local value, a typed secret too."""
        self._close_messages_no_wait()

    def action_go(self) -> None:
        """Write the file and go on; what can't be is named and the form stays."""
        given = self._given()
        unseen = {key: value for key, value in self._flags.items() if key not in FORM}
        try:
            if not given.get("site.root"):
                raise SettingsError("site.root", "no site is named", "name the folder of a v1 site")
            write_settings(self._file, {k: v for k, v in self._all(given).items() if k not in unseen})
            self.exit(load_settings(self._file, unseen).settings)
        except SettingsError as exc:
            self._tell(exc)

    def _test(self, key: str, server: str, given: dict[str, str]) -> None:
        try:
            seen = probe(server, settings_of(self._all(given)))
        except SettingsError as exc:
            text = f"✗ {exc.subject}: {exc.happened}"
        else:
            text = f"✓ {server} answers, {seen.took_ms:.0f} ms" if seen.error is None else f"✗ {seen.error}"
        self.post_message(Tested(key, given.get(key, ""), text))

    def _given(self) -> dict[str, str]:
        fields = {key: self.query_one(f"#{_field(key)}", Input).value.strip() for key in FORM}
        return {key: value for key, value in fields.items() if value}

    def _all(self, given: Mapping[str, str]) -> dict[str, str]:
        """What is given, and what the file and the environment say of settings that the form does not ask for."""
        return {**{key: value for key, value in self._values.items() if key not in FORM}, **given}

    def _fingerprint(self, server: str) -> str:
        return repr([value for key, value in self._given().items() if FORM[key] == server])

    def _say(self, key: str, text: str) -> None:
        said = self.query_one(f"#{_field(key)}-said", Static)
        said.set_class(text.startswith("✓"), "-answers")
        draw(said, shown(text, 300))

    def _tell(self, error: SettingsError) -> None:
        self.notify(shown(str(error), 400), severity="error", markup=False)


def _told(run: PastRun) -> tuple[str, str, str]:
    """Where, how far, and when last."""
    left = f"next: {run.following}" if run.following else "none left"
    last = time.strftime("%m-%d %H:%M", time.localtime(run.last_at)) if run.last_at else ""
    return shown(run.root, 100), f"{run.steps} of {len(STEPS)} steps, {left}", last


def _field(key: str) -> str:
    return key.replace(".", "--")


def _key(field: str) -> str:
    return field.replace("--", ".")
