# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker: progress, remaining time, errors, and stopping within the promised time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def jobs(module: Callable[[str], Any]) -> Any:
    return module("operators.job")


def run(job: Any, limit_s: float = 10.0) -> Any:
    """Poll a job to its end."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        state = job.poll()
        if state.finished:
            return state
        time.sleep(0.005)
    raise AssertionError("the job did not end")


def test_result_and_progress_arrive(jobs: Any) -> None:
    def work(progress: Any, cancelled: Any) -> int:
        progress(0.25, "one")
        progress(0.75, "two")
        return 42

    job = jobs.Job(work)
    job.start()
    state = run(job)
    assert (state.fraction, state.message, job.result()) == (0.75, "two", 42)


def test_work_runs_in_another_thread_that_does_not_hold_blender_open(jobs: Any) -> None:
    job = jobs.Job(lambda progress, cancelled: (threading.current_thread().daemon, threading.get_ident()))
    job.start()
    run(job)
    daemon, ident = job.result()
    assert daemon and ident != threading.get_ident()


def test_errors_come_back_to_the_owner(jobs: Any, module: Callable[[str], Any]) -> None:
    error = module("engine.errors").PackError("The pack is damaged; download it again.")

    def work(progress: Any, cancelled: Any) -> None:
        raise error

    job = jobs.Job(work)
    job.start()
    run(job)
    with pytest.raises(type(error), match="damaged"):
        job.result()


def test_cancel_stops_the_work(jobs: Any, module: Callable[[str], Any]) -> None:
    steps: list[float] = []

    def work(progress: Any, cancelled: Any) -> None:
        while not cancelled():
            steps.append(time.monotonic())
            time.sleep(0.01)

    job = jobs.Job(work)
    job.start()
    time.sleep(0.1)
    start = time.monotonic()
    job.cancel()
    assert time.monotonic() - start < 0.01, "cancel waits"
    assert job.join(0.3), "the work went on after cancel"
    with pytest.raises(module("engine.errors").Cancelled):
        job.result()


def test_every_report_is_a_place_to_stop(jobs: Any, module: Callable[[str], Any]) -> None:
    steps: list[float] = []

    def work(progress: Any, cancelled: Any) -> None:
        while len(steps) < 500:
            progress(0.0, "deaf to the cancel check")
            steps.append(time.monotonic())
            time.sleep(0.01)

    job = jobs.Job(work)
    job.start()
    time.sleep(0.1)
    job.cancel()
    assert job.join(0.3), "the work went on after cancel"
    assert 0 < len(steps) < 500
    with pytest.raises(module("engine.errors").Cancelled):
        job.result()


def test_result_before_the_end_is_a_mistake(jobs: Any) -> None:
    gate = threading.Event()
    job = jobs.Job(lambda progress, cancelled: gate.wait(5))
    job.start()
    with pytest.raises(RuntimeError, match="still running"):
        job.result()
    gate.set()
    run(job)


def test_remaining_time_follows_the_pace(jobs: Any) -> None:
    def work(progress: Any, cancelled: Any) -> None:
        for step in range(1, 21):
            time.sleep(0.05)
            progress(step / 20, "")

    job = jobs.Job(work)
    job.start()
    guesses: list[tuple[float, float]] = []
    start = time.monotonic()
    while not job.poll().finished:
        state = job.poll()
        if state.remaining_s is not None:
            guesses.append((time.monotonic() - start, state.remaining_s))
        time.sleep(0.02)
    wall_s = time.monotonic() - start
    assert guesses and guesses[0][0] >= 0.4
    assert all(abs(at + left - wall_s) < 0.5 * wall_s + 0.2 for at, left in guesses)


def test_progress_never_goes_back(jobs: Any) -> None:
    def work(progress: Any, cancelled: Any) -> None:
        for fraction in (0.1, 0.6, 0.3, 2.0):
            progress(fraction, "")

    job = jobs.Job(work)
    job.start()
    assert run(job).fraction == 1.0


def test_a_second_job_waits_for_the_engine_and_can_be_cancelled(
    module: Callable[[str], Any], engine: Any
) -> None:
    host, jobs, errors = module("operators.engine_host"), module("operators.job"), module("engine.errors")
    from pathlib import Path

    hold, entered = threading.Event(), threading.Event()

    def first(progress: Any, cancelled: Any) -> None:
        with host.engine_for(Path("none"), "cpu", progress, cancelled):
            entered.set()
            hold.wait(5)

    def second(progress: Any, cancelled: Any) -> None:
        with host.engine_for(Path("none"), "cpu", progress, cancelled):
            raise AssertionError("two jobs held the engine")

    one, two = jobs.Job(first), jobs.Job(second)
    one.start()
    entered.wait(5)
    two.start()
    time.sleep(0.15)
    assert two.poll().message == "Waiting for the previous motion to stop"
    two.cancel()
    assert two.join(0.3)
    with pytest.raises(errors.Cancelled):
        two.result()
    hold.set()
    run(one)


def test_engine_is_loaded_once_and_again_for_another_pack(
    module: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    host = module("operators.engine_host")
    loads: list[tuple[str, str]] = []
    monkeypatch.setattr(
        host, "load_engine", lambda pack, device: loads.append((pack.name, device)) or object()
    )
    host.release()
    silent: Any = (lambda fraction, text: None, lambda: False)
    for pack, device in (("a", "cpu"), ("a", "cpu"), ("b", "cpu"), ("b", "cuda"), ("b", "cuda")):
        with host.engine_for(tmp_path / pack, device, *silent):
            pass
    assert loads == [("a", "cpu"), ("b", "cpu"), ("b", "cuda")]
    host.release()
    assert not host.is_loaded()
