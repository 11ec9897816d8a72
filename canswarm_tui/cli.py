"""The command line: which commands there are, each loaded when it is called, and how every one of them ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from canswarm_tui import __version__
from canswarm_tui.commands.face import Face, end_with_error, flags_of, log_to
from canswarm_tui.engine.errors import Defect, EngineError, ExitCode, SettingsError, Stopped, machine_error

_COMMANDS = {
    "init": ("setup", "init", "ask for settings, test each connection and write the file"),
    "plan": ("work", "plan", "say exactly what a run would do; changes nothing"),
    "preflight": ("work", "preflight", "look at the site, this machine and every target"),
    "backup": ("work", "backup", "back up the site and prove the restore"),
    "run": ("work", "run_", "run every pending step, or the named ones"),
    "stop": ("work", "stop", "ask the live run to stop at a safe point"),
    "rate": ("work", "rate_", "turn the rate limit of the live run"),
    "verify": ("work", "verify", "read the targets back and compare everything"),
    "undo": ("work", "undo", "remove what this run created in one step"),
    "status": ("look", "status", "where every step stands"),
    "findings": ("findings", "findings", "list, show, accept and resolve findings"),
    "report": ("look", "report", "write and show the report"),
    "rollback": ("rollback", "rollback", "bring v1's state back from a backup"),
    "support-bundle": ("support", "support_bundle", "one archive without secrets, for an issue"),
    "keys": ("keys", "keys", "every key of the interface, and how to give it another"),
    "diagnose": ("diagnose", "diagnose", "look at each server; read-only"),
    "sandbox": ("sandbox", "sandbox", "a demonstration site and real local servers"),
    "demo": ("demo", "demo", "migrate a demonstration site on real local servers"),
}

_GROUPS = frozenset({"findings", "sandbox"})


class _LazyGroup(click.Group):
    """Loads a command's module when the command is called, so that `--help` and each command start quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(f"canswarm_tui.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="canswarm-tui %(version)s")
@click.option("--config", "config", metavar="FILE", help="settings file (else ./canswarm.toml, then the config folder)")
@click.option("--site", "site", metavar="DIR", help="the v1 site that the interface opens on (setting site.root)")
@click.option("--state-dir", metavar="DIR", help="where it keeps journal, reports and logs (setting state_dir)")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="any setting of the interface")
@click.option("--observe", is_flag=True, help="only look: every action is off")
@click.option("--no-mouse", is_flag=True, help="leave the mouse to the terminal")
@click.pass_context
def cli(
    ctx: click.Context,
    config: str | None,
    site: str | None,
    state_dir: str | None,
    pairs: tuple[str, ...],
    observe: bool,
    no_mouse: bool,
) -> None:
    """Take a CAN Swarm from v1 to v2, once, and prove every record.

    Without a command the terminal interface opens.
    """
    ctx.obj = config
    flags = flags_of(site, state_dir, pairs)
    if ctx.invoked_subcommand is None:
        from canswarm_tui.commands.interface import open_interface

        ctx.exit(open_interface(config, flags, observe=observe, mouse=not no_mouse))
    if flags:
        where = f"write it after the command: `canswarm-tui {ctx.invoked_subcommand} --site DIR`"
        raise SettingsError("command line", "--site, --state-dir and --set before a command are the interface's", where)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Never lets a traceback reach the screen."""
    wants_json = "--json" in arguments
    command = _command_of(arguments)
    try:
        code = cli.main(list(arguments), prog_name="canswarm-tui", standalone_mode=False)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.Abort as exc:
        broken_off = isinstance(exc.__cause__, KeyboardInterrupt)
        remedy = "the same command again goes on from here" if broken_off else "nothing was begun"
        return end_with_error(Stopped(command or "canswarm-tui", "cancelled", remedy), command, wants_json)
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.ctx.get_help() if exc.ctx else "", err=True)
        return ExitCode.SETTINGS
    except click.UsageError as exc:
        path = exc.ctx.command_path if exc.ctx else "canswarm-tui"
        wrong = SettingsError("command line", exc.format_message(), f"see `{path} --help`")
        return end_with_error(wrong, command, wants_json)
    except click.ClickException as exc:
        return end_with_error(SettingsError("command line", exc.format_message(), "mend it"), command, wants_json)
    except EngineError as exc:
        return end_with_error(exc, command, wants_json)
    except (BrokenPipeError, SystemExit):  # click makes the one from the other
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.STOPPED
    except Exception as exc:
        if Face.log_path() is None:
            _log_without_a_site()
        logging.getLogger(__name__).exception("%s failed", command)
        return end_with_error(_unforeseen(exc, command or "canswarm-tui"), command, wants_json)
    return int(code) if isinstance(code, int) else ExitCode.DONE


def _command_of(arguments: Sequence[str]) -> str:
    """The command as it is called, such as `sandbox up`."""
    words = [a for a in arguments if not a.startswith("-")]
    at = next((i for i, word in enumerate(words) if word in _COMMANDS), None)
    if at is None:
        return words[0] if words else ""
    return " ".join(words[at : at + 2] if words[at] in _GROUPS else words[at : at + 1])


def _unforeseen(exc: Exception, subject: str) -> EngineError:
    """A disk or a right that nobody foresaw, or a mistake of ours."""
    log = Face.log_path()
    if (known := machine_error(exc, str(log.parent if log else Path.cwd()))) is not None:
        return known
    remedy = f"the log has the details: {log}" if log else f"no log could be written; it said: {exc}"
    return Defect(subject, f"a mistake of ours ({type(exc).__name__})", remedy)


def _log_without_a_site() -> None:
    """Opens the log of what happens before any site is known: in the user's log folder, else a temporary one."""
    for folder_of in (_user_log_folder, _temporary_folder):
        with contextlib.suppress(OSError, EngineError):
            log_to(folder_of() / "canswarm-tui.log")
            return
    logging.getLogger("canswarm_tui").addHandler(logging.NullHandler())


def _user_log_folder() -> Path:
    import platformdirs

    return platformdirs.user_log_path("canswarm-tui", ensure_exists=True)


def _temporary_folder() -> Path:
    """New and ours alone: a known name where all may write could be somebody's link."""
    return Path(tempfile.mkdtemp(prefix="canswarm-tui-"))
