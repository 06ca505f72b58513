"""Inference engine: priorities, steps, slots, cancellation and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from masklet.errors import MaskletError, StateError
from masklet.http.engine import Engine, Job, Priority

TIMEOUT_S = 60.0


@pytest.fixture
def engine() -> Iterator[Engine[list[str]]]:
    """An engine whose model is a list that jobs append to. It waits until `start` is called."""
    engine: Engine[list[str]] = Engine(list)
    yield engine
    engine.stop()


def write(text: str) -> Callable[[list[str]], None]:
    return lambda written: written.append(text)


def write_steps(*texts: str, ended: list[str] | None = None) -> Callable[[list[str]], Iterator[None]]:
    """Work that writes one text in each step, and `ended` when it is closed."""

    def work(written: list[str]) -> Iterator[None]:
        try:
            for text in texts:
                written.append(text)
                yield
        finally:
            if ended is not None:
                ended.append("closed")

    return work


def read(engine: Engine[list[str]]) -> list[str]:
    """Return what the jobs so far have written, after all of them."""
    result: list[str] = []
    assert engine.submit(Priority.NEIGHBORS, result.extend).wait(TIMEOUT_S)
    return result


def test_the_highest_priority_runs_first(engine: Engine[list[str]]) -> None:
    for priority in (Priority.NEIGHBORS, Priority.PREDICTION, Priority.PROPOSALS, Priority.PREVIEW):
        engine.submit(priority, write(priority.name))
    engine.start()
    assert read(engine) == ["PREDICTION", "PREVIEW", "PROPOSALS", "NEIGHBORS"]


def test_a_prediction_runs_between_two_steps_of_a_track(engine: Engine[list[str]]) -> None:
    def track(written: list[str]) -> Iterator[None]:
        written.append("frame 0")
        yield
        engine.submit(Priority.PREDICTION, write("click"))
        written.append("frame 1")
        yield
        written.append("frame 2")

    job = engine.submit(Priority.TRACKING, track)
    engine.start()
    assert job.wait(TIMEOUT_S) and job.is_complete
    assert read(engine) == ["frame 0", "frame 1", "click", "frame 2"]


def test_jobs_of_one_priority_take_turns(engine: Engine[list[str]]) -> None:
    for name in "ab":
        engine.submit(Priority.TRACKING, write_steps(f"{name}0", f"{name}1"))
    engine.start()
    assert read(engine) == ["a0", "b0", "a1", "b1"]


def test_a_job_replaces_the_waiting_one_of_its_slot(engine: Engine[list[str]]) -> None:
    ended: list[tuple[str, bool]] = []

    def note(name: str) -> Callable[[Job[list[str]]], None]:
        return lambda job: ended.append((name, job.is_complete))

    for name in ("old", "new"):
        engine.submit(Priority.PREVIEW, write(name), slot="hover", on_end=note(name))
    engine.submit(Priority.PREVIEW, write("other"), slot="other")
    engine.start()
    assert read(engine) == ["new", "other"]
    assert ended == [("old", False), ("new", True)]


def test_a_job_that_has_begun_is_not_replaced(engine: Engine[list[str]]) -> None:
    def work(written: list[str]) -> Iterator[None]:
        engine.submit(Priority.TRACKING, write("second"), slot="run")
        yield
        written.append("first")

    engine.submit(Priority.TRACKING, work, slot="run")
    engine.start()
    assert sorted(read(engine)) == ["first", "second"]


def test_a_cancelled_job_is_closed_in_the_thread(engine: Engine[list[str]]) -> None:
    closed_in: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(written: list[str]) -> Iterator[None]:
        try:
            begun.set()
            go_on.wait(TIMEOUT_S)
            yield
            written.append("not reached")
            yield
        finally:
            closed_in.append(threading.current_thread().name)

    engine.start()
    job = engine.submit(Priority.TRACKING, work)
    assert begun.wait(TIMEOUT_S)
    job.cancel()
    assert not job.has_ended  # its step runs
    go_on.set()
    assert job.wait(TIMEOUT_S) and not job.is_complete and job.error is None
    assert closed_in == ["masklet-engine"]
    assert read(engine) == []


def test_a_job_cancelled_before_it_begins_ends_at_once(engine: Engine[list[str]]) -> None:
    job = engine.submit(Priority.TRACKING, write("not reached"))
    job.cancel()
    assert job.has_ended and not job.is_complete
    engine.start()
    assert read(engine) == []


def test_errors_end_their_job_only(engine: Engine[list[str]], caplog: pytest.LogCaptureFixture) -> None:
    def refuse(written: list[str]) -> None:
        raise StateError("frame-missing", "there is no frame")

    def fail_later(written: list[str]) -> Iterator[None]:
        yield
        raise ZeroDivisionError

    def fail_to_report(job: Job[list[str]]) -> None:
        raise KeyError("client")

    engine.start()
    refused, failed = engine.submit(Priority.PREDICTION, refuse), engine.submit(Priority.TRACKING, fail_later)
    engine.submit(Priority.PREDICTION, write("before"), on_end=fail_to_report)
    assert refused.wait(TIMEOUT_S) and failed.wait(TIMEOUT_S)
    assert refused.error is not None and refused.error.code == "frame-missing"
    assert failed.error is not None and failed.error.code == "internal"
    assert "ZeroDivisionError" in caplog.text
    assert read(engine) == ["before"]


@pytest.mark.parametrize("error", [StateError("frame-missing", "no model"), RuntimeError("no model")])
def test_every_job_ends_with_the_error_of_loading(error: Exception) -> None:
    def load() -> list[str]:
        raise error

    loaded = threading.Event()
    engine = Engine(load, loaded.set)
    jobs = [engine.submit(Priority.PREDICTION, write("not reached")) for _ in range(2)]
    engine.start()
    assert loaded.wait(TIMEOUT_S) and all(job.wait(TIMEOUT_S) for job in jobs)
    assert all(isinstance(job.error, MaskletError) and "no model" in job.error.message for job in jobs)
    engine.stop()


def test_a_delayed_job_waits_and_does_not_hold_up_others(engine: Engine[list[str]]) -> None:
    engine.start()
    start = time.monotonic()
    delayed = engine.submit(Priority.PREDICTION, write("delayed"), delay_s=0.05)
    assert engine.submit(Priority.NEIGHBORS, write("other")).wait(TIMEOUT_S)
    assert delayed.wait(TIMEOUT_S) and time.monotonic() - start >= 0.05
    assert read(engine) == ["other", "delayed"]


def test_stopping_closes_what_has_begun_and_cancels_the_rest(engine: Engine[list[str]]) -> None:
    ended: list[str] = []
    begun = threading.Event()

    def endless(written: list[str]) -> Iterator[None]:
        try:
            while True:
                begun.set()
                yield
        finally:
            ended.append("closed")

    jobs = [engine.submit(Priority.TRACKING, endless), engine.submit(Priority.NEIGHBORS, write("not reached"))]
    engine.start()
    assert begun.wait(TIMEOUT_S)
    engine.stop()
    jobs.append(engine.submit(Priority.PREDICTION, write("too late")))
    assert all(job.has_ended and not job.is_complete for job in jobs)
    assert ended == ["closed"]


def test_a_job_that_is_cancelled_while_it_ends_ends_once(engine: Engine[list[str]]) -> None:
    ends: list[str] = []

    def cancel(job: Job[list[str]]) -> None:
        ends.append("end")
        thread = threading.Thread(target=job.cancel)  # as a client that disconnects at this moment
        thread.start()
        thread.join()

    job = engine.submit(Priority.PREDICTION, lambda model: None, on_end=cancel)
    engine.start()
    job.complete()
    assert ends == ["end"] and job.is_complete
