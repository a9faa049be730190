"""Windows from the definition, one row at a time."""


def of_rows(rows: int, size: int) -> list[list[int]]:
    """Return the numbers of the rows in each window; the last one may be open."""
    return [list(range(at, min(at + size, rows))) for at in range(0, rows, size)]


def of_time(
    ts_ms: list[int], every_ms: int, offset_ms: int
) -> list[tuple[list[int], list[int], int, int]]:
    """Return of each window the rows' numbers, the times they count with, how many are late, early.

    A row later than all before it closes the window; an earlier one counts in the open one. One
    that would skip a window needs most of itself and the next 8 rows to lie no more than a window
    before it; else it counts with the latest time so far, or, as the first of all, with the middle
    one of the first five that lie before. Where that is not known yet, the row and those behind it
    are left out.
    """
    found: list[tuple[list[int], list[int], int, int]] = []
    newest, latest_ms = None, None
    for number, raw in enumerate(ts_ms):
        slot, ts, early = (raw - offset_ms) // every_ms, raw, False
        if newest is None or slot > newest + 1:
            around = [(other - offset_ms) // every_ms for other in ts_ms[number : number + 9]]
            agree = sum(other >= slot - 1 for other in around)
            if agree < 5 and len(around) - agree < 5:
                return found
            if agree < 5:
                early = True
                nearby = ts_ms[number : number + 9]
                before = [t for t, own in zip(nearby, around, strict=True) if own < slot - 1]
                ts = sorted(before[:5])[2] if latest_ms is None else latest_ms
                slot = (ts - offset_ms) // every_ms
        latest_ms = ts if latest_ms is None else max(latest_ms, ts)
        if newest is None or slot > newest:
            newest = slot
            found.append(([number], [ts], 0, int(early)))
        else:
            rows, times, late, ahead = found[-1]
            found[-1] = [*rows, number], [*times, ts], late + (slot < newest), ahead + early
    return found
