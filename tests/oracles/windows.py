"""Windows from the definition, one row at a time."""


def of_rows(rows: int, size: int) -> list[list[int]]:
    """Return the numbers of the rows in each window; the last one may be open."""
    return [list(range(at, min(at + size, rows))) for at in range(0, rows, size)]


def of_time(ts_ms: list[int], every_ms: int, offset_ms: int) -> list[tuple[list[int], int]]:
    """Return the numbers of the rows in each window, and how many of them are late.

    A row later than all before it closes the window; an earlier one counts in the open one.
    """
    found: list[tuple[list[int], int]] = []
    newest = None
    for number, ts in enumerate(ts_ms):
        slot = (ts - offset_ms) // every_ms
        if newest is None or slot > newest:
            newest = slot
            found.append(([number], 0))
        else:
            rows, late = found[-1]
            found[-1] = [*rows, number], late + (slot < newest)
    return found
