"""The order of pairs follows from the logs, not from how far a worker was in each."""

import numpy as np

from tests.streams.monitor.logs import label, row
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.records import Source

LABELS = np.random.default_rng(4).permutation(40).tolist()


def paired(*parts: tuple[Source, list[int]]) -> list[str]:
    """Return the ids of the pairs in the journal when the logs are read in these parts."""
    log = OfflineLog()
    for source, numbers in parts:
        for n in numbers:
            value = (
                row("m", str(n), n, {"a": 1.0}, 0.5)
                if source == "predictions"
                else label("m", str(n), 1000 + n, 1.0)
            )
            log.append(source, b"m", value)
    entries = [read_entry(output.value) for output in log.outputs if output.topic == "outcomes"]
    return [id_ for entry in entries if isinstance(entry, Outcomes) for id_ in entry.ids]


def test_labels_that_come_while_types_are_not_known_pair_in_the_order_of_their_log() -> None:
    early = paired(
        ("predictions", list(range(60))),
        ("labels", LABELS),
        ("predictions", list(range(60, 120))),
    )
    late = paired(("predictions", list(range(120))), ("labels", LABELS))
    assert early == late == [str(n) for n in LABELS]
