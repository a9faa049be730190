"""The command line ``tidegauge``; each command imports what it needs only when it runs."""

import logging
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tidegauge.streams.cli import (
    alerts,
    apply,
    broker,
    demo,
    monitors,
    reference,
    replay,
    status,
    topics,
    worker,
)
from tidegauge.streams.cli.options import examples
from tidegauge.streams.runtime.errors import WorkerError


class Commands(TyperGroup):
    """Runs a command, and tells what its user can act on in a line instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        for library in ("kafka", "aiokafka"):
            logging.getLogger(library).setLevel(logging.CRITICAL)  # we say it in one line
        try:
            return super().invoke(ctx)
        except WorkerError as error:
            for line in str(error).splitlines():
                typer.echo(f"tidegauge: {line}", err=True)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from tidegauge import __version__

        typer.echo(f"tidegauge {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "tidegauge demo                           see it at work, nothing to set up",
        "tidegauge broker --create-topics         a Kafka of your own, on this machine",
        "tidegauge worker                         watch every model that sends rows",
        "tidegauge replay rows.csv --model fraud --prediction-column score",
        "tidegauge alerts --follow                what it has to say",
        "tidegauge status                         how every model stands",
    )
)
def tidegauge(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Watch machine-learning models on Kafka: drift, performance and data quality.

    Model servers send predictions, labels follow; a worker tells by itself what has moved, as
    alerts and as requests to retrain.

    Every option can be set as an environment variable instead, such as TIDEGAUGE_BROKERS.

    Exit codes: 0 done, 1 failure, 2 usage or configuration, 3 no broker answers, 4 topic missing;
    of status 5 rows wait and nobody reads them, 6 an incident is open.
    """


app.command()(demo.demo)
app.command(epilog=broker.EPILOG)(broker.broker)
app.command(epilog=worker.EPILOG)(worker.worker)
app.command(epilog=apply.EPILOG)(apply.apply)
app.command(epilog=replay.EPILOG)(replay.replay)
app.command(epilog=alerts.EPILOG)(alerts.alerts)
app.command(epilog=status.EPILOG)(status.status)
app.add_typer(topics.app, name="topics")
app.add_typer(monitors.app, name="monitors")
app.add_typer(reference.app, name="reference")


def main() -> None:
    """Run the command that the process's arguments ask for."""
    app(prog_name="tidegauge")
