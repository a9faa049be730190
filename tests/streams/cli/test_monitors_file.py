from pathlib import Path
from typing import get_args

import pytest

from tidegauge.schemas.monitors import (
    DetectorSpec,
    FeatureSpec,
    Metric,
    MonitorSpec,
    RetrainingSpec,
)
from tidegauge.streams.cli.monitors_file import read_monitors
from tidegauge.streams.monitor.control.detectors import possible
from tidegauge.streams.runtime.errors import ConfigurationError

IGNORED = {"x": FeatureSpec(type="ignore")}
ONE = "monitors:\n  - model: fraud\n    "


def read(text: str, tmp_path: Path) -> list[MonitorSpec]:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return read_monitors(file)


def faults(text: str, tmp_path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text, tmp_path)
    prefix = f"{tmp_path / 'm.yaml'}"
    lines = str(caught.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix).removeprefix(": ") for line in lines]


def test_on_is_a_word_and_an_exponent_makes_a_number(tmp_path: Path) -> None:
    text = ONE + (
        "retraining: {on: [drift]}\n    detectors:\n"
        "      - {kind: adwin, on: rows, series: [loss], parameters: {delta: 1e-3}}"
    )
    assert read(text, tmp_path) == [
        MonitorSpec(
            model="fraud",
            retraining=RetrainingSpec(on=("drift",)),
            detectors=[
                DetectorSpec(kind="adwin", on="rows", series=["loss"], parameters={"delta": 0.001})
            ],
        )
    ]


@pytest.mark.parametrize("name", ["2024-01-01", "no", "010", "1_000", "12:30"])
def test_a_name_stays_text_where_yaml_1_1_sees_something_else(name: str, tmp_path: Path) -> None:
    assert read(f"monitors: [{{model: {name}}}]", tmp_path)[0].model == name


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "features: {country: {type: categorical, min: 0}}",
            ".features.country: min: expected a feature of type numeric, got type categorical",
        ),
        (
            "features: {code: {pattern: '[A-Z'}}",
            ".features.code.pattern: expected a pattern of RE2, got '[A-Z': missing ]: [A-Z",
        ),
        ("threshold: high", ".threshold: expected float, got 'high'"),
        ("windows: {rows: 5}", ".windows.rows: expected int >= 10, got 5"),
        ("windows: {}", ".windows: expected either rows or every"),
        (
            "labels: {horizon: 3}",
            ".labels.horizon: expected a duration such as 30s, 9h or 7d, got 3",
        ),
        (
            "labels: {horizon: 3w}",
            ".labels.horizon: expected a duration such as 30s, 9h or 7d, got '3w'",
        ),
        ("labels: [30d]", ".labels: expected mapping, got list"),
        (
            "labels: {horizont: 3d}",
            ".labels.horizont: expected one of horizon, corrections; got 'horizont'",
        ),
        (
            "features: {a: {type: numeric}, b: {type: text}}",
            ".features.b.type: expected one of numeric, boolean, categorical, ignore, got 'text'",
        ),
        (
            "metrics: [f1, f2]",
            f".metrics[1]: expected one of {', '.join(get_args(Metric))}, got 'f2'",
        ),
        (
            "retraining: {on: [drift, rain]}",
            ".retraining.on[1]: expected one of performance, drift, critical_drift, got 'rain'",
        ),
        (
            "detectors: [{kind: adwin, series: [loss], parameters: {delta: 2}}]",
            ".detectors[0].parameters: delta must be > 0 and < 1, got 2",
        ),
        (
            "detectors: [{kind: page_hinkley, series: [loss], parameters: {lambda: 2}}]",
            ".detectors[0].parameters.lambda: expected one of min_instances, delta, threshold, "
            "alpha, mode; got 'lambda'",
        ),
        (
            "detectors: [{kind: page_hinkley, series: [loss], parameters: {width: 2}}]",
            ".detectors[0].parameters.width: expected one of min_instances, delta, threshold, "
            "alpha, mode; got 'width'",
        ),
        (
            "detectors: [{kind: adwin, series: [loss], parameters: {delta: low}}]",
            ".detectors[0].parameters: expected numbers where adwin wants them, got "
            "{'delta': 'low'}",
        ),
        (
            "detectors: [{kind: adwin, series: [unheard_of(x)]}]",
            f".detectors[0].series[0]: expected one of {', '.join(possible('', {}))}; got "
            "'unheard_of(x)'",
        ),
        (
            "features: {x: {type: ignore}}\n"
            "    detectors: [{kind: adwin, series: [loss, rank(x)]}]",
            f".detectors[0].series[1]: expected one of {', '.join(possible('x', IGNORED))}, as x "
            "is declared ignore; got 'rank(x)'",
        ),
        (
            "detectors: [{kind: adwin, series: [loss], parameters: {clock: 2000000}}]",
            ".detectors[0].parameters.clock: expected at most 1,000,000, got 2000000",
        ),
    ],
)
def test_a_fault_names_its_path_and_what_was_expected(line: str, told: str, tmp_path: Path) -> None:
    assert faults(ONE + line, tmp_path) == ["$.monitors[0]" + told]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "monitors: [{model: 1, threshold: 2}, {effect: {features: 0}}]"
    assert faults(text, tmp_path) == [
        "$.monitors[0].model: expected str, got 1",
        "$.monitors[0].threshold: expected float <= 1.0, got 2",
        "$.monitors[1]: expected the field model, which is missing",
        "$.monitors[1].effect.features: expected float > 0.0, got 0",
    ]
    lines = "  - {model: b, detectors: [{kind: adwin, series: [los, erro], parameters: {x: 1}}]}"
    told = faults(f"monitors:\n  - {{model: a}}\n{lines}", tmp_path)
    places = [".series[0]", ".series[1]", ".parameters.x"]
    assert [line.partition(":")[0] for line in told] == [
        f"$.monitors[1].detectors[0]{place}" for place in places
    ]


def test_a_model_that_is_described_twice_is_refused(tmp_path: Path) -> None:
    (told,) = faults("monitors: [{model: a}, {model: b}, {model: a}]", tmp_path)
    assert told == "$.monitors[2].model: expected each model once, got 'a' again"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("monitors: [{model: a}]\nmonitors: []", ":2: expected each key once, got 'monitors'"),
        ("monitors:\n  - {model: a, model: b}", ":2: expected each key once, got 'model' twice"),
        ("a: [1\nb: 2", ":2: expected ',' or ']'"),
        ("monitors: !!python/object:os.system {}", ":1: could not determine a constructor"),
        ("", "$: expected mapping, got nothing"),
        ("monitors: []", "$.monitors: expected list of length >= 1"),
    ],
)
def test_what_is_no_list_of_monitors_is_told_with_its_line(
    text: str, told: str, tmp_path: Path
) -> None:
    (line,) = faults(text, tmp_path)
    assert line.startswith(told)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="expected YAML in UTF-8"):
        read_monitors(file)
