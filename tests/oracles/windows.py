"""Windows from the definition, one row at a time."""


def of_rows(rows: int, size: int) -> list[list[int]]:
    """Return the numbers of the rows in each window; the last one may be open."""
    return [list(range(at, min(at + size, rows))) for at in range(0, rows, size)]


def of_time(
    ts_ms: list[int], every_ms: int, offset_ms: int, lateness_ms: int = 0
) -> tuple[list[tuple[list[int], list[int], int, int]], int]:
    """Return the windows in their order, and how many of them have closed.

    Of each there are its rows' numbers, the times they count with, how many are late, early. A
    window closes when the latest time so far lies ``lateness_ms`` or more behind its end; a row of
    a window that has closed counts in the first that may still be open. A row that would skip a
    window behind the latest one needs most of itself and the next 8 rows to lie no more than a
    window before it; else it counts with the latest time so far, or, as the first of all, with the
    middle one of the first five that lie before. Where that is not known yet, the row and those
    behind it are left out.
    """
    found: dict[int, tuple[list[int], list[int], int, int]] = {}
    latest_ms, floor = None, 0
    for number, raw in enumerate(ts_ms):
        slot, ts, early = (raw - offset_ms) // every_ms, raw, False
        if latest_ms is None or slot > (latest_ms - offset_ms) // every_ms + 1:
            around = [(other - offset_ms) // every_ms for other in ts_ms[number : number + 9]]
            agree = sum(other >= slot - 1 for other in around)
            if agree < 5 and len(around) - agree < 5:
                break
            if agree < 5:
                early = True
                nearby = ts_ms[number : number + 9]
                before = [t for t, own in zip(nearby, around, strict=True) if own < slot - 1]
                ts = sorted(before[:5])[2] if latest_ms is None else latest_ms
                slot = (ts - offset_ms) // every_ms
        latest_ms = ts if latest_ms is None else max(latest_ms, ts)
        floor = (latest_ms - lateness_ms - offset_ms) // every_ms
        rows, times, late, ahead = found.get(max(slot, floor), ([], [], 0, 0))
        found[max(slot, floor)] = (
            [*rows, number],
            [*times, ts],
            late + (slot < floor),
            ahead + early,
        )
    return [found[slot] for slot in sorted(found)], sum(slot < floor for slot in found)
