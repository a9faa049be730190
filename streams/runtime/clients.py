"""The Kafka clients a worker has besides Faust's."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.topics import OUTPUT_BYTES

BATCH_BYTES = 512 * 1024
LINGER_MS = 5


def new_producer(brokers: str) -> AIOKafkaProducer:
    """Return a producer that keeps the order and repeats nothing; not compressed (measured)."""
    return AIOKafkaProducer(
        bootstrap_servers=brokers,
        enable_idempotence=True,
        acks="all",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=OUTPUT_BYTES,
    )


def new_reader(brokers: str) -> AIOKafkaConsumer:
    """Return a consumer without a group: it reads what it is told to and commits nothing."""
    return AIOKafkaConsumer(
        bootstrap_servers=brokers, auto_offset_reset="earliest", enable_auto_commit=False
    )
