"""All commands as one: `llmpso tune`, or `python -m flows tune`."""

from flows.command_line import joined_app, run_process


def main() -> int:
    """The script `llmpso`."""
    return run_process(joined_app())


if __name__ == "__main__":
    raise SystemExit(main())
