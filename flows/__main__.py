"""All commands as one: `llmpso tune`, or `python -m flows tune`."""

import sys

from flows.command_line import joined_app, run


def main() -> int:
    """The script `llmpso`."""
    return run(joined_app(), sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
