"""Dead letters: what could not be read, as it came, with the reason. Topic ``rejected``.

Headers follow Kafka Connect (KIP-298), so tools that know its dead-letter queues know these.
"""

PREFIX = "__connect.errors."


def headers(
    *, topic: str, partition: int, offset: int, reason: str, error: str
) -> list[tuple[str, bytes]]:
    """Return the headers to add to the original ones.

    >>> dict(headers(topic="t", partition=0, offset=7, reason="$.id: missing", error="Invalid"))[
    ...     "__connect.errors.offset"
    ... ]
    b'7'
    """
    fields = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "connector.name": "tidegauge",
        "stage": "VALUE_CONVERTER",
        "exception.class.name": error,
        "exception.message": reason,
    }
    return [(PREFIX + name, value.encode()) for name, value in fields.items()]
