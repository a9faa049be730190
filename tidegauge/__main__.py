"""The command line, if what it needs is installed."""

import sys
from importlib import import_module

OURS = {"streams", "schemas", "detectors", "tidegauge"}


def main() -> None:
    """Run the command line, or say what to install for it and exit with 2."""
    try:
        cli = import_module("streams.cli")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in OURS:
            raise  # a fault of ours, which no installation of an extra would mend
        print(
            f"tidegauge: this command needs {error.name}: pip install 'tidegauge[worker]'",
            file=sys.stderr,
        )
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
