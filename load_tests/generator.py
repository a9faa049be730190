"""Sends rows at a fixed rate, whatever the other side does, and proves that it kept its schedule.

Run as a process of its own: ``python -m load_tests.generator BROKERS TOPIC RATE SECONDS``. Batches
are built beforehand, so that sending costs next to nothing; each leaves when its last row is due,
as a producer's would that lingers 5 ms. At the end one line of JSON says when it began and how late
the batches left.
"""

import asyncio
import gc
import sys
import time
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer

from load_tests.figures import due_s, percentile
from load_tests.traffic import Data, predictions

TICK_S: Final = 0.005
BATCH_BYTES: Final = 1_000_000
SHIFT: Final = 0.6  # of the rows are as before; then something moves, so that there is an alert
HEAD_START_S: Final = 0.2


class Kept(msgspec.Struct, frozen=True):
    """When the schedule began, and how it was kept."""

    begun_s: float
    rows: int
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float


async def generate(brokers: str, topic: str, rate: float, seconds: float) -> Kept:
    """Send ``rate`` rows a second for so many seconds."""
    total = int(rate * seconds)
    size = max(int(rate * TICK_S), 1)
    producer = AIOKafkaProducer(bootstrap_servers=brokers, max_batch_size=BATCH_BYTES, acks=1)
    async with producer:
        batches, builder, held = [], producer.create_batch(), 0
        for value, _ in predictions(Data(total, shifted_from=int(SHIFT * total)), seed=3):
            builder.append(key=b"model", value=value, timestamp=None)
            held += 1
            if held % size == 0 or held == total:
                builder.close()
                batches.append((held - 1, builder))
                builder = producer.create_batch()
        gc.freeze()
        begun_s = time.time() + HEAD_START_S
        late_ms, sent = [], []
        for last_row, batch in batches:
            due = due_s(last_row, begun_s, rate)
            await asyncio.sleep(max(due - time.time(), 0))
            sent.append(await producer.send_batch(batch, topic, partition=0))
            late_ms.append(1000 * (time.time() - due))
        await asyncio.gather(*sent)
    shares = [percentile(late_ms, share) for share in (0.5, 0.99, 1.0)]
    return Kept(begun_s, total, *shares)


if __name__ == "__main__":
    where, to, asked, lasting = sys.argv[1:]
    kept = asyncio.run(generate(where, to, float(asked), float(lasting)))
    print(msgspec.json.encode(kept).decode(), flush=True)
