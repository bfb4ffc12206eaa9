"""Ways to ask long work to stop, a flag and signals that set it, and to say how it goes on after that."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from selfvos.errors import Stopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """Asks for a stop, from any thread: hand its `stopped` to the watch of the work."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal_number = 0
        """The signal that asked; 0 where none did."""

    def stop(self) -> None:
        """Ask the work to stop; asking twice changes nothing."""
        self._event.set()

    def stopped(self) -> bool:
        """Say whether someone has asked."""
        return self._event.is_set()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.signal_number:
            raise KeyboardInterrupt
        self.signal_number = number
        self.stop()


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Lend a flag that Ctrl-C and SIGTERM set; a second signal ends the work at once.

    Outside the main thread, where Python forbids to catch signals, the flag is set by `stop` alone.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.signal(number, flag._on_signal) for number in _SIGNALS}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def advising(hint: str) -> Iterator[None]:
    """Have a stop say what is left of the work and how to go on.

    Raises:
        Stopped: As it came, in other words.
    """
    try:
        yield
    except Stopped as error:
        stopped = Stopped(f"stopped; {hint}")
        stopped.exit_status = error.exit_status
        raise stopped from error
