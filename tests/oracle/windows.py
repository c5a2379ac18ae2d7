"""Where a sliding window stands along one axis, by counting positions."""


def positions(
    size: int, kernel: int, stride: int, dilation: int, padding: str | tuple[int, ...]
) -> list[int]:
    """The first element under each window of an axis; negative where it hangs over the start.

    SAME: one window for every `stride` elements, the missing elements split before and behind with
    the odd one behind. VALID: every window that lies inside.
    """
    assert isinstance(padding, str), "windows with given padding have an oracle of their own"
    reach = (kernel - 1) * dilation + 1
    if padding == "VALID":
        return [p for p in range(0, size, stride) if p + reach <= size]
    starts = list(range(0, size, stride))
    missing = max(starts[-1] + reach - size, 0)
    return [p - missing // 2 for p in starts]
