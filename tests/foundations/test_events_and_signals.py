"""Progress goes to whoever listens; Ctrl-C and SIGTERM become a request that loops obey when it is safe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from husai import events
from husai.errors import Interrupted

LOOP = """
import sys, time
from husai import events
from husai.errors import Interrupted

class Loud:
    def progress(self, event): pass
    def log(self, level, message): print(level, message, flush=True)

with events.listening(Loud()):
    try:
        with events.stop_on_signals():
            print("ready", flush=True)
            for step in range(2000):
                time.sleep(0.01)
                if sys.argv[1] == "polite":
                    events.check_stop()
    except Interrupted as error:
        print("stopped:", error, flush=True)
        sys.exit(130)
    except KeyboardInterrupt:
        print("broken off", flush=True)
        sys.exit(131)
"""


class Heard:
    def __init__(self):
        self.events, self.lines = [], []

    def progress(self, event):
        self.events.append(event)

    def log(self, level, message):
        self.lines.append((level, message))


def test_a_listener_hears_only_inside_its_block():
    outer, inner = Heard(), Heard()
    events.report("j", "before", 1, 2)
    with events.listening(outer):
        with events.listening(inner):
            events.report("j", "title", 1, 2, "note")
            events.log("a")
        events.warn("b")
    events.log("after")
    assert inner.events == [events.Progress("j", "title", 1, 2, "note")]
    assert inner.lines == [("info", "a")]
    assert outer.lines == [("warning", "b")]
    assert outer.events == []


def test_the_listener_is_given_back_after_an_error():
    heard = Heard()
    with pytest.raises(RuntimeError), events.listening(heard):
        raise RuntimeError
    events.log("after")
    assert heard.lines == []


def test_a_stop_is_seen_by_every_thread_until_it_is_cleared():
    events.check_stop()
    worker = threading.Thread(target=events.request_stop)
    worker.start()
    worker.join()
    assert events.stop_requested()
    with pytest.raises(Interrupted, match=r"everything finished is kept: write it again$"):
        events.check_stop("write it again")
    events.clear_stop()
    events.check_stop()


def test_signals_are_given_back_and_an_old_request_is_forgotten():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    events.request_stop()
    with events.stop_on_signals():
        assert not events.stop_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(200):
            if events.stop_requested():
                break
            time.sleep(0.005)
        assert events.stop_requested()
    assert not events.stop_requested()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_in_the_middle_of_a_line_is_heard_all_the_same():
    """Python refuses to break into a line that is being written with another one."""

    class Busy(Heard):
        def log(self, level, message):
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    with events.listening(Busy()), events.stop_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert events.stop_requested()


def started(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-u", "-c", LOOP, how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_stops_a_loop_at_its_next_safe_point(number):
    process = started("polite")
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "warning stopping after saving" in out
    assert out.splitlines()[-1].startswith("stopped: ")
    assert out.splitlines()[-1].endswith("run the same command again to go on")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_breaks_off_at_once(number):
    process = started("deaf")
    assert process.stdout is not None
    process.send_signal(number)
    assert process.stdout.readline().startswith("warning")
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 131
    assert "broken off" in out
