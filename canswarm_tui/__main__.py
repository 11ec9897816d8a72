"""The program's entry: `canswarm-tui` and `python -m canswarm_tui`. Answers `--version` without loading anything."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without a command, the terminal interface."""
    if sys.argv[1:] == ["--version"]:
        from canswarm_tui import __version__

        sys.stdout.write(f"canswarm-tui {__version__}\n")
        return
    from canswarm_tui.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
