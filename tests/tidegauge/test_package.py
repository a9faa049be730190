"""Which names the package has, and what is loaded with them."""

import pickle

import pytest

import tidegauge
from tests.tidegauge.pythons import RUNNING, run

KAFKA = {"kafka", "aiokafka", "faust"}
WORKER = {"aiokafka", "faust", "msgspec", "numba", "numpy", "pyarrow", "river"}
FOLDERS = {"tidegauge.schemas", "tidegauge.detectors", "tidegauge.streams"}


def loaded(statement: str) -> set[str]:
    done = run(RUNNING, f"import sys; {statement}; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_client_loads_nothing_of_the_worker() -> None:
    found = loaded("from tidegauge import Producer")
    assert "kafka" in found
    assert found & (WORKER | FOLDERS) == set()


def test_detectors_load_no_kafka() -> None:
    found = loaded("from tidegauge.detectors import ADWIN, MixtureEDetector, PageHinkley")
    assert "numba" in found
    assert found & KAFKA == set()


def test_names_that_are_loaded_late_are_there_like_others() -> None:
    names: dict[str, object] = {}
    exec("from tidegauge import *", names)
    assert {"Counts", "Producer", "__version__"} <= set(names)
    assert {"Counts", "Producer", "__version__"} <= set(dir(tidegauge))
    counts = tidegauge.Counts(sent=1, failed=0, dropped=0, pending=0)
    assert pickle.loads(pickle.dumps(counts)) == counts


def test_a_name_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="'tidegauge' has no attribute 'Consumer'"):
        getattr(tidegauge, "Consumer")  # noqa: B009 - a type checker would refuse the plain one
