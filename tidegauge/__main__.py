"""The command line, if what it needs is installed."""

import sys

EXTRAS = {"broker": "worker,broker", "demo": "worker,broker,demo"}  # all others: worker


def main() -> None:
    """Run the command line, or say what to install for it and exit with 2."""
    try:
        from tidegauge.streams.cli import main as run

        run()
    except ModuleNotFoundError as error:  # here, or where a command imports what it alone needs
        if error.name is None or error.name.partition(".")[0] == "tidegauge":
            raise  # a fault of ours, which no installation of an extra would mend
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        others = "" if command else "".join(f" ({name}: '.[{EXTRAS[name]}]')" for name in EXTRAS)
        print(
            f"tidegauge: {command or 'the command line'} needs {error.name}, which the client "
            f"alone does not bring: in a clone run pip install '.[{EXTRAS.get(command, 'worker')}]'"
            f"{others}; tidegauge is not on PyPI yet",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
