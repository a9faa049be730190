"""``tidegauge demo``: the main job on real data, in a minute."""

import typer
from rich.console import Console


def demo() -> None:
    """Watch a model decay: a year of flights through a real Apache Kafka on this machine.

    Starts a broker and a worker, replays a year of predictions and labels, prints every incident,
    then the same rows shuffled, where nothing must be told. Leaves nothing running.
    """
    from tidegauge.streams.demo.show import run

    raise typer.Exit(run(Console()))
