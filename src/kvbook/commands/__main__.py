"""The entry point: it answers Ctrl-C before anything else is there."""

import signal
import sys


def main() -> None:
    """`kvbook.commands.cli.main`, which takes some tenths of a second to import."""
    try:
        from kvbook.commands import cli

        cli.main()
    except KeyboardInterrupt:
        print("interrupted: nothing had begun", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends already


if __name__ == "__main__":
    main()
