import io
import os
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from selfvos.cli import console
from selfvos.cli.console import Watcher
from selfvos.errors import Stopped
from selfvos.types import Watch, go_on


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=120, color_system=None))
    return screen


def test_progress_shows_stage_steps_and_loss_on_a_terminal(terminal):
    with Watcher() as watcher:
        assert isinstance(watcher, Watch)
        for done in range(4):
            watcher.tell("warm-up", done, 8, loss=1.25)
        watcher.tell("a video", 5, None)
    text = terminal.getvalue()
    assert "warm-up  loss 1.250" in text
    assert "3/8" in text
    assert "5/?" in text
    assert "left" in text


def test_windows_that_are_looked_ahead_to_share_a_bar(terminal):
    with Watcher() as watcher:
        for window in range(3):
            for done in range(1, 5):
                watcher.tell("looking ahead", done, 4)
            watcher.tell("tracking", window + 1, 3)
        assert [(task.description, task.completed) for task in watcher._bar.tasks] == [
            ("looking ahead", 4),
            ("tracking", 3),
        ]
    assert "looking ahead" in terminal.getvalue()


def test_nothing_is_shown_in_a_pipe(capsys):
    with Watcher() as watcher:
        watcher.tell("tracking", 1, 2)
    assert capsys.readouterr() == ("", "")


def interrupted(numbers):
    with Watcher() as watcher:
        for number in numbers:
            go_on(watcher)
            os.kill(os.getpid(), number)
        assert watcher.stopped()
        go_on(watcher)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop_and_sets_the_exit_status(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stop:
        interrupted([number])
    assert stop.value.exit_status == 128 + number
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_the_work_at_once():
    def asked_twice():
        with Watcher():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            signal.getsignal(signal.SIGINT)  # Python sees to signals between two steps

    with pytest.raises(KeyboardInterrupt):
        asked_twice()


def test_a_watcher_works_off_the_main_thread():
    asked = []

    def work():
        with Watcher() as watcher:
            watcher.tell("tracking", 1, 2)
            asked.append(watcher.stopped())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]


def test_what_the_console_cannot_show_is_escaped_and_the_status_stays_0():
    program = """
from selfvos import cli
from selfvos.cli.console import out
cli.app = lambda standalone_mode: (out.print("masks are in \u96ea\u5c71", soft_wrap=True), print("\u96ea"))
cli.main()
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "masks are in \\u96ea\\u5c71\n\\u96ea\n"
