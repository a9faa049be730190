"""The declared slices of a model version's rows: what is learned of them, and watched."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.schemas.windows import SliceReport
from tidegauge.streams.monitor.intake.block import Block, Floats
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary
from tidegauge.streams.monitor.series.base import series_profile
from tidegauge.streams.monitor.series.gates import least_effect
from tidegauge.streams.monitor.series.view import Categories, Numbers, Slices
from tidegauge.streams.monitor.series.watched import Watched, watch
from tidegauge.streams.monitor.slices.slicing import Slicing
from tidegauge.streams.monitor.verdict.aa_check import Inside
from tidegauge.streams.monitor.verdict.cohort import Cohort, Examples, Watching
from tidegauge.streams.monitor.verdict.input_cohort import CohortProfile, InputCohort
from tidegauge.streams.monitor.verdict.watch import Verdicts
from tidegauge.streams.monitor.verdict.weekly import by_week
from tidegauge.streams.monitor.windows.bounds import Bounds, Start
from tidegauge.streams.monitor.windows.figures import Measures
from tidegauge.streams.monitor.windows.window import WindowPart

PART = 1 / 4  # of a model's budget is that of its slices, where there are some
MOST_BYTES = 400_000  # of a published reference may be about slices
DIGITS = 6  # of a figure of a reference window, which is that of some of its rows


class SliceWindow(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one closed window of the reference."""

    moments: bytes  # rows, means, variances and what people are shown, a row each
    start: Start


class SlicesState(msgspec.Struct, tag="slices"):
    """Everything the cohort remembers, for the snapshot."""

    windows: list[SliceWindow]
    learned: dict[str, SeriesProfile]
    watching: Watching | None


class SliceCohort(Cohort):
    """The slices that a spec declares of a model version's inputs and scores.

    Nothing of a row is computed for them but in which slices it is: the rest is that of the inputs.

    Parameters
    ----------
    spec, effect, budget
        As of every cohort; the budget is that of the slices.
    inputs
        Whose rows these are, and by whose reference they are told apart.
    learned
        What a published reference says of slices, or what was learned under another spec.

    Notes
    -----
    Their reference is some rows of each window of that of the inputs, which keeps them until it is
    complete. Where it is published and says nothing of these slices, they are learned from the
    first windows.
    """

    is_bounded = True  # there are many, and nobody is shown more

    def __init__(
        self,
        spec: MonitorSpec,
        effect: float,
        budget: float,
        inputs: InputCohort,
        learned: Mapping[str, SeriesProfile],
    ) -> None:
        by_windows = [one for one in spec.detectors if one.on == "windows"]
        own = msgspec.structs.replace(spec, detectors=by_windows)
        super().__init__(own, effect, budget, {Slices: ()})
        self.inputs, inputs.is_sliced = inputs, True
        self.slicing: Slicing | None = None  # once the inputs have a reference
        self.windows: list[SliceWindow] = []
        self.learned: dict[str, SeriesProfile] = {}  # once it is complete
        self._lay()
        self._follow(learned)

    def _lay(self) -> None:
        """Tell rows apart by the reference of the inputs, if they have one by now."""
        if self.slicing is None and self.inputs.known is not None:
            self.slicing = self._slicing(self.inputs.known)

    def _slicing(self, known: CohortProfile | Reference) -> Slicing:
        inputs = self.inputs
        return Slicing(
            self.spec.slices, inputs.numeric, inputs.categorical, known.numeric, known.categorical
        )

    def _follow(self, learned: Mapping[str, SeriesProfile]) -> None:
        """Watch by what was learned, if it is of all that is to be watched."""
        names = [] if self.slicing is None else _names(self.slicing)
        if names and learned.keys() >= {*names}:
            own = {name: learned[name] for name in names}
            if self.compare(own):
                self.learned = own

    def watched(self, profiles: Mapping[str, SeriesProfile]) -> tuple[Measures, list[Watched]]:
        """Return what is watched by these; no detector sees rows of it."""
        assert self.slicing is not None  # or nothing would have been learned
        found, numbers = list[Watched](), self.inputs.numbers
        for one in self.slicing.series:
            known, number = profiles[one.series.name(one.name)], numbers.get(one.feature)
            gate = least_effect(
                self.spec.effect, one.series, one.feature, known, number, self.effect
            )
            own = watch(one.series, one.name, known, gate)
            found.append(replace(own, feature=one.feature, slice=one.slice))
        return Measures({}), found

    def begin(self) -> WindowPart:
        """Return what a new window accumulates."""
        part = WindowPart(0)
        part.slices = None if self.slicing is None else self.slicing.begin()
        return part

    def add(self, part: WindowPart, block: Block) -> None:
        """Take further rows of a window, which the inputs have taken before."""
        views, self.inputs.views = self.inputs.views, None
        if self.slicing is not None and part.slices is not None and views is not None:
            part.rows += len(block)
            self.slicing.add(part.slices, *views)

    @property
    def learning(self) -> Sequence[SliceWindow]:
        """The windows of the reference that is being learned, which ``learn`` adds to."""
        return self.windows

    def learn(self, part: WindowPart, bounds: Bounds) -> list[Inside]:
        """Take a window that closed while the reference is learned; watch once it is complete."""
        if self.slicing is None:
            self._lay()
            if self.slicing is not None and self.inputs.known is not None:
                self._follow(self.of(self.inputs.known, self.inputs.samples, self.inputs.starts))
            self.inputs.samples = []
        elif self.watch is None and part.slices is not None and part.rows and self.slicing.series:
            moments = self.slicing.moments(part.slices)
            self.windows.append(SliceWindow(moments.tobytes(), bounds.start))
            if self.gathered >= self.spec.reference.windows:
                kept = [own.moments for own in self.windows]
                starts = [own.start for own in self.windows]
                self._follow(_profiles(self.slicing, kept, starts, self.spec))
                self.windows = []
        return []  # what of a slice is not one thing is told of all rows

    def of(
        self,
        known: CohortProfile | Reference,
        samples: Iterable[bytes],
        starts: Sequence[Start],
    ) -> dict[str, SeriesProfile]:
        """Return what some rows of each window of a reference say of its slices."""
        slicing, inputs = self._slicing(known), self.inputs
        dictionaries = []
        for name in inputs.categorical:
            dictionaries.append(Dictionary())
            if name in known.categorical:
                dictionaries[-1].values += known.categorical[name].shares
        windows = []
        for sample in samples:
            width = len(inputs.numeric) + len(inputs.categorical)
            rows = np.frombuffer(sample).reshape(-1, width)
            values, places = np.hsplit(rows, [len(inputs.numeric)])
            codes = np.where(np.isnan(places), MISSING, places).astype(np.int32)
            sums = slicing.begin()
            numbers = Numbers(inputs.numeric, values, inputs.profiles_of(known))
            slicing.add(sums, numbers, Categories(inputs.categorical, codes, dictionaries, ()))
            windows.append(slicing.moments(sums).tobytes())
        return _profiles(slicing, windows, starts, self.spec) if windows else {}

    def judge(self, part: WindowPart, bounds: Bounds, examples: Examples) -> Verdicts:
        """Judge a window that closed."""
        if self.watch is None or self.slicing is None or part.slices is None:
            return Verdicts()
        return self.watch.update(self.slicing.readings(part.slices), bounds, {}, examples)

    def reports(self, part: WindowPart) -> list[SliceReport]:
        """Return what a window had of each slice, for its report."""
        if self.slicing is None or part.slices is None:
            return []
        return self.slicing.reports(part.slices)

    def state(self) -> SlicesState:
        """Return what a snapshot needs."""
        return SlicesState(self.windows, self.learned, self.watching())

    def load(self, state: SlicesState) -> None:
        """Take back the state of a cohort with the same spec and inputs."""
        self._lay()
        self.windows = state.windows
        if state.learned:
            self._follow(state.learned)
        if state.watching is not None:
            self.load_watching(state.watching)


def _names(slicing: Slicing) -> list[str]:
    return [own.series.name(own.name) for own in slicing.series]


def _profiles(
    slicing: Slicing, windows: Sequence[bytes], starts: Sequence[Start], spec: MonitorSpec
) -> dict[str, SeriesProfile]:
    """Return what windows say of each series."""
    width = len(slicing.series)
    tables = np.frombuffer(b"".join(windows)).reshape(len(windows), 4, width)
    found, means_shown = {}, {}
    for at, (name, own) in enumerate(zip(_names(slicing), slicing.series, strict=True)):
        rows, means, variances, shown = tables[:, :, at].T
        profile = series_profile(own.series, rows, means, variances)
        if own.series.shows_mean and rows.any():
            profile = msgspec.structs.replace(profile, shown=_mean(rows, shown))
            means_shown[name] = shown
        found[name] = profile
    return by_week(found, starts, spec, means_shown)


def _mean(rows: Floats, values: Floats) -> float:
    known = rows > 0
    return float((rows * values)[known].sum() / rows.sum())


def publishable(learned: Mapping[str, SeriesProfile]) -> dict[str, SeriesProfile]:
    """Return what a published reference holds of slices, none of it where that is too much.

    Of slices it says nothing of, they are learned from the first windows.
    """
    found = {
        name: msgspec.structs.replace(
            own, values=[None if v is None else float(f"{v:.{DIGITS}g}") for v in own.values]
        )
        for name, own in learned.items()
    }
    return found if len(msgspec.json.encode(found)) <= MOST_BYTES else {}
