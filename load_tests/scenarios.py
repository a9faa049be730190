"""What is run: the data, and who reads it."""

from typing import Final

from load_tests.throughput import Contender
from load_tests.traffic import Data

MILLION: Final = 1_000_000

DATA: Final = {
    "rows": Data(MILLION),
    "frames": Data(2 * MILLION, "frames"),
    "arrow": Data(4 * MILLION, "arrow"),
    "models-100": Data(400_000, models=100),
    "models-1000": Data(1_200_000, models=1000),
    "features-100": Data(100_000, features=100),
    "features-1000": Data(10_000, features=1000),
    "labels": Data(400_000, labels=True),
    "lz4": Data(500_000, codec="lz4"),
    "zstd": Data(500_000, codec="zstd"),
}

ROWS: Final = "Tidegauge, single rows"
FRAMES: Final = "Tidegauge, JSON frames of 500"
ARROW: Final = "Tidegauge, Arrow frames of 500"
MODELS: Final = "Tidegauge, 1,000 models interleaved"
FAUST: Final = "plain Faust + River"
AIOKAFKA: Final = "bare aiokafka + orjson"

CONTENDERS: Final = [
    Contender(AIOKAFKA, "aiokafka", "rows", 5),
    Contender(FAUST, "faust", "rows", 5, 0.04),
    Contender(ROWS, "tidegauge", "rows", 5),
    Contender(FRAMES, "tidegauge", "frames", 5),
    Contender(ARROW, "tidegauge", "arrow", 5),
    Contender(MODELS, "tidegauge", "models-1000", 3),
    Contender("bare confluent-kafka + orjson", "confluent", "rows", 3),
    Contender("Quix Streams + River", "quix", "rows", 3, 0.2),
    Contender("Tidegauge, 100 models interleaved", "tidegauge", "models-100", 3),
    Contender("Tidegauge, 100 features", "tidegauge", "features-100", 3),
    Contender("Tidegauge, 1,000 features", "tidegauge", "features-1000", 3),
    Contender("Tidegauge, with labels", "tidegauge", "labels", 3),
    Contender("Tidegauge, single rows, lz4", "tidegauge", "lz4", 3),
    Contender("Tidegauge, single rows, zstd", "tidegauge", "zstd", 3),
]

RATIOS: Final = {
    "single rows / bare aiokafka + orjson": (ROWS, AIOKAFKA),
    "single rows / plain Faust + River": (ROWS, FAUST),
    "JSON frames / plain Faust + River": (FRAMES, FAUST),
    "Arrow frames / plain Faust + River": (ARROW, FAUST),
    "1,000 models interleaved / one model": (MODELS, ROWS),
}
