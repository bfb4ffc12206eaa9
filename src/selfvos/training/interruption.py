"""Ctrl-C and SIGTERM end a run between two steps, not inside one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Remembers the signal that asked the run to stop."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Note the first signal; a second one stops at once."""
        if self.signal_number:
            raise KeyboardInterrupt
        self.signal_number = number


@contextmanager
def listen() -> Iterator[Interruption]:
    """Catch the signals while inside; outside the main thread, where Python forbids it, nothing is caught."""
    asked = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, asked) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
