"""What is run: the data, and who reads it."""

from typing import Final

from load_tests.throughput import Contender
from load_tests.traffic import COUNTRIES, Data
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, SliceSpec

MILLION: Final = 1_000_000
MODEL: Final = "model-0000"
NUMBERS: Final = [f"feature_{at}" for at in range(9)]

DATA: Final = {
    "rows": Data(MILLION),
    "frames": Data(2 * MILLION, "frames"),
    "arrow": Data(4 * MILLION, "arrow"),
    "models-100": Data(400_000, models=100),
    "models-1000": Data(1_200_000, models=1000),
    "features-100": Data(100_000, features=100),
    "features-1000": Data(10_000, features=1000),
    "related": Data(600_000, related=True),
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

RELATED: Final = "Tidegauge, single rows, related features"
ALL: Final = "Tidegauge, single rows, related features, all series"
SLICES: Final = "Tidegauge, single rows, related features, three slices"

ALL_SERIES: Final = MonitorSpec(
    model=MODEL,
    features={name: FeatureSpec(min=-1000.0, max=1000.0, required=True) for name in NUMBERS}
    | {"country": FeatureSpec(allowed=[*COUNTRIES], required=True)},
    checks=[f"{NUMBERS[at]} < {NUMBERS[at - 1]} + 1000" for at in (1, 2, 3)],
)
THREE_SLICES: Final = MonitorSpec(
    model=MODEL,
    slices=[
        "country",
        SliceSpec(feature=NUMBERS[0], quantiles=4),
        SliceSpec(feature=NUMBERS[1], quantiles=4),
    ],
)

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
    Contender(RELATED, "tidegauge", "related", 3),
    Contender(ALL, "tidegauge", "related", 3, spec=ALL_SERIES),
    Contender(SLICES, "tidegauge", "related", 3, spec=THREE_SLICES),
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
    "all series / the defaults": (ALL, RELATED),
    "three slices / the defaults": (SLICES, RELATED),
}
