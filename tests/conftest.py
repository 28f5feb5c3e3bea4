"""One thread per test process: numbers of threads change bits, and several test processes share the cores."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy or torch is imported

from collections.abc import Iterator  # noqa: E402

import pytest  # noqa: E402

from husai import events  # noqa: E402


@pytest.fixture(autouse=True)
def nobody_asked_to_stop() -> Iterator[None]:
    """A stop that one test asked for must not reach the next."""
    events.clear_stop()
    yield
    events.clear_stop()
