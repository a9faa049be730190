"""Which share of the rows cannot be read, model by model."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

import msgspec
import numpy as np

from tidegauge.schemas.monitors import RetrainingSpec, WindowSpec
from tidegauge.streams.monitor.intake.block import NO_IDS, Block, Codes, Ints
from tidegauge.streams.monitor.intake.messages import NOBODY, Key
from tidegauge.streams.monitor.intake.rejections import Rejection
from tidegauge.streams.monitor.records import Output, Record
from tidegauge.streams.monitor.series.view import Records, Typed
from tidegauge.streams.monitor.verdict.incidents import MonitorSource, Origin
from tidegauge.streams.monitor.verdict.logged_rows import Good, Listed, Mixed, Rows, dated, in_order
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.verdict.nil_cohort import BLOCK, FINE, FIRST, NilCohort, NilState
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.cutting import Dated

MAX_MODELS = 1000  # counted apart; those of further ones count as nobody's
FEATURES = 20  # that rows are rejected for are counted apart
FEATURE = re.compile(r" - at `\$\.features\.(.+)`\Z").search  # in a reason
REASONS = 20  # counted in a window, where further ones are not told, and of all
GATHERED = 128  # rows of which nothing is told that are counted together


class ReadState(msgspec.Struct):
    """What is remembered of how well a model's rows can be read."""

    rows: int
    rejected: int
    reason: str
    last_ms: int
    reasons: dict[str, int]
    monitor: MonitorState
    all_reasons: dict[str, int] = {}


class Readable:
    """Tells when rows of one model, or records of nobody in particular, cannot be read."""

    def __init__(self, origin: Origin) -> None:
        self.rows = self.rejected = 0  # ever
        self.reason = ""  # the main one of the last window that had any
        self.last_ms = 0  # event time of the last row that could be read; 0: none yet
        self._reasons: Counter[str] = Counter()  # of the open window
        # Of all, after Misra and Gries (1982): one that more than one in 21 has is among them.
        self._all_reasons: Counter[str] = Counter()
        self._cohort = NilCohort(origin.model, origin.topic, Records)
        self.monitor = Monitor(origin, self._cohort.spec, WindowSpec(rows=BLOCK), [self._cohort])
        self._features: dict[str, int] = {}  # that rows were rejected for: the codes of these
        self._room = np.empty((2, GATHERED), np.int64)  # event times and offsets of good rows
        self._gathered = 0

    @property
    def main_reason(self) -> str:
        """That of most rejections; where none stands out, of the last window that had any."""
        return _most_common(self._all_reasons, self.reason)

    def fold(self, rows: Rows) -> list[Output]:
        """Take further rows; return the alerts that they give rise to."""
        self.rows += len(rows)
        self.last_ms = rows.last_ms(self.last_ms)
        if not isinstance(rows, Mixed) and self.tells_nothing and self._gather(rows):
            return []
        self.settle()
        return self._fold(rows)

    @property
    def tells_nothing(self) -> bool:
        """Whether nothing was wrong in the open window and nothing is being followed."""
        return self._cohort.watch is None and not self._reasons

    def _gather(self, rows: Rows) -> bool:
        """Put off counting good rows: it costs the same for one as for many."""
        start, stop = self._gathered, self._gathered + len(rows)
        if stop > GATHERED:
            return False
        self._room[:, start:stop] = rows.piece(0, len(rows))
        self._gathered = stop
        return True

    def settle(self) -> None:
        """Count the rows that were put off."""
        if self._gathered:
            self._fold(Good(*self._room[:, : self._gathered]))  # which tells nothing
            self._gathered = 0

    def _fold(self, rows: Rows) -> list[Output]:
        outputs: list[Output] = []
        start, found = 0, len(rows)
        mixed = rows if isinstance(rows, Mixed) else None
        if mixed is None and self.tells_nothing:
            start = self._skip(rows)
        while start < found:
            stop = min(found, start + BLOCK - self.monitor.bounds.rows)
            self._add(rows, mixed, start, stop)
            if self.monitor.bounds.rows == BLOCK:
                outputs += self._close()
            start = stop
        return outputs

    def _skip(self, rows: Rows) -> int:
        """Step over windows in which nothing was wrong and nothing is being followed."""
        bounds = self.monitor.bounds
        windows = (bounds.rows + len(rows)) // BLOCK
        whole = windows * BLOCK - bounds.rows
        if not windows:
            return 0
        last_offset = int(rows.piece(whole - 1, whole)[1][0])
        self.monitor.begin(Bounds(bounds.index + windows, last_offset=last_offset))
        return whole

    def _add(self, rows: Rows, mixed: Mixed | None, start: int, stop: int) -> None:
        ts_ms, offsets = rows.piece(start, stop)
        codes = np.full(len(ts_ms), FINE, np.int32)
        if mixed is not None:
            reasons = self._count(mixed, start, stop)
            codes[mixed.bad[start:stop]] = [self._code(reason) for reason in reasons]
        found = Dated(ts_ms, np.zeros(len(ts_ms), np.bool_))
        self.monitor.add(_block(ts_ms, offsets, codes), found)

    def _code(self, reason: str) -> int:
        """Return which feature a row was rejected for, from a reason; FIRST where it is none."""
        found = FEATURE(reason)
        if found is None:
            return FIRST
        if found[1] not in self._features and len(self._features) < FEATURES:
            self._follow(found[1])
        return self._features.get(found[1], FIRST)

    def _follow(self, feature: str) -> None:
        """Count the rows that are rejected for a feature, too."""
        origin, code = self.monitor.origin, FIRST + 1 + len(self._features)
        self._features[feature] = code
        cohort = NilCohort(origin.model, origin.topic, Typed, feature, code)
        part = cohort.begin()
        cohort.count(part, {FINE: self.monitor.bounds.rows})  # those of the window so far
        self.monitor.cohorts.append(cohort)
        self.monitor.window.parts.append(part)

    def _count(self, rows: Mixed, start: int, stop: int) -> list[str]:
        """Count the reasons of bad rows among some, and return them."""
        before, hits = (
            int(np.count_nonzero(rows.bad[a:b])) for a, b in ((0, start), (start, stop))
        )
        self.rejected += hits
        found = rows.reasons[before : before + hits]
        for reason in found:
            if reason in self._reasons or len(self._reasons) < REASONS:
                self._reasons[reason] += 1
            self._all_reasons[reason] += 1
            if len(self._all_reasons) > REASONS:
                self._all_reasons -= Counter([*self._all_reasons])
        return found

    def _close(self) -> list[Output]:
        self.reason, self._reasons = _most_common(self._reasons, self.reason), Counter()
        outputs = self.monitor.close({"rejected": [self.reason]})
        if not self.monitor.incidents.open:
            self._cohort.rest()
        if self._cohort.watch is None:  # nor is there anything of a feature
            self.monitor.cohorts, self._features = [self._cohort], {}
        # As ``_skip`` leaves it, whichever of the two the batches' cuts lead to.
        bounds = self.monitor.bounds
        self.monitor.begin(Bounds(bounds.index, last_offset=bounds.last_offset))
        return outputs

    def state(self) -> ReadState:
        """Return what a snapshot needs."""
        self.settle()
        return ReadState(
            self.rows,
            self.rejected,
            self.reason,
            self.last_ms,
            dict(self._reasons),
            self.monitor.state(),
            dict(self._all_reasons),
        )

    def load(self, state: ReadState) -> None:
        """Take back the state of the same model."""
        self.rows, self.rejected, self.reason = state.rows, state.rejected, state.reason
        self.last_ms, self._reasons = state.last_ms, Counter(state.reasons)
        self._all_reasons = Counter(state.all_reasons)
        for own in state.monitor.cohorts[1:]:
            assert isinstance(own, NilState)
            self._follow(own.column)
        self.monitor.load(state.monitor)


class Readability:
    """Tells, model by model, which share of the rows in one topic's partition cannot be read.

    Rows are counted, not records: one bad row of a frame of 500 is 0.2%. Records that do not even
    say whose they are, are counted against all records of the partition.
    """

    def __init__(self, source: MonitorSource, topic: str, partition: int) -> None:
        self.source, self.topic, self.partition = source, topic, partition
        self.models: dict[Key, Readable] = {}
        self.moved: set[Key] = set()  # what has changed of since the last snapshot

    def fold(
        self,
        read: Mapping[Key, Sequence[Rows]],
        rejections: Sequence[Rejection],
        records: Sequence[Record],
        released: Mapping[Key, int],
    ) -> list[Output]:
        """Count what a batch held.

        Parameters
        ----------
        read
            The rows that were read, by model version, in pieces.
        rejections
            What was not.
        records
            All records of the batch.
        released
            Up to which offset a version's rows were held until their types were known. What was
            rejected meanwhile was counted before them.
        """
        outputs: list[Output] = []
        refused: dict[Key, list[Rejection]] = {}
        self._admit(read, rejections)
        for rejected in rejections:
            whose = rejected.of if rejected.of in self.models else NOBODY
            refused.setdefault(whose, []).append(rejected)
        nobody = [replace(rejected, rows=1) for rejected in refused.pop(NOBODY, [])]
        for key in sorted(read.keys() | refused.keys()):
            if key in self.models:
                held = released.get(key, -1)
                outputs += self._fold(key, read.get(key, ()), refused.get(key, []), held)
        lost = {rejected.record.offset for rejected in nobody}
        fine = [r for r in records if r.offset not in lost] if lost else records
        return outputs + self._fold(NOBODY, [Listed(fine, dated, attrgetter("offset"))], nobody)

    def _fold(
        self, key: Key, pieces: Sequence[Rows], rejections: Sequence[Rejection], held: int = -1
    ) -> list[Output]:
        own = self._of(key)
        if key != NOBODY:
            self.moved.add(key)
        if rejections:
            pieces = [in_order(pieces, rejections, own.last_ms, held)]
        return [output for rows in pieces for output in own.fold(rows)]

    def _admit(self, read: Mapping[Key, Sequence[Rows]], rejections: Sequence[Rejection]) -> None:
        """Count models apart while there is room, in the order of the log."""
        new = read.keys() - self.models.keys()
        first = {key: int(read[key][0].piece(0, 1)[1][0]) for key in new}
        for rejected in rejections:
            at = rejected.record.offset
            first[rejected.of] = min(first.get(rejected.of, at), at)
        for key in sorted(first, key=first.__getitem__):
            if key != NOBODY and len(self.models) <= MAX_MODELS:
                self._of(key)

    def _of(self, key: Key) -> Readable:
        if key not in self.models:
            origin = Origin(*key, self.source, self.topic, self.partition, RetrainingSpec(), 0)
            self.models[key] = Readable(origin)
        return self.models[key]

    def state(self, key: Key) -> ReadState | None:
        """Return what a snapshot needs of a model, or of nobody's records."""
        return self.models[key].state() if key in self.models else None

    def load(self, key: Key, state: ReadState | None) -> None:
        """Take back the state of a model in the same topic and partition."""
        if state is not None:
            self._of(key).load(state)


def _most_common(reasons: "Counter[str]", otherwise: str) -> str:
    return reasons.most_common(1)[0][0] if reasons else otherwise


def _block(ts_ms: Ints, offsets: Ints, codes: Codes) -> Block:
    """Return rows of which only matters what is wrong with each."""
    nothing = np.empty((len(codes), 0))
    return Block(offsets, ts_ms, NO_IDS, nothing, (), codes.reshape(-1, 1), ("fault",), ())
