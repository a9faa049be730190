"""Retraining events: a request to train anew, with the range of data to train on.

Topic ``retraining``, key: model, CloudEvents type ``io.tidegauge.retrain.requested.v1``.
"""

import msgspec

RETRAIN_TYPE = "io.tidegauge.retrain.requested.v1"


class RetrainingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a retraining event."""

    model: str
    version: str
    incident: str  # the incident that asks for it
    alert: str  # ce_id of the alert
    reason: str  # the alert's sentence
    requested_ms: int  # event time
    train_from_ms: int  # since the estimated change, or since a broken pipe was mended
    train_to_ms: int  # always later
    excluded: list[tuple[int, int]] = []  # times between, in order, of rows not to train on
    quiet_until_ms: int  # no further request of this model before
