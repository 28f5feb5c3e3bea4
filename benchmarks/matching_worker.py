"""One measurement in a process of its own: `python -m benchmarks.matching_worker METHOD FILE` prints it as JSON.

The clocks run from mapped dictionaries to the numbers; imports, compilation and the first reading of the file are done
before. `cpu_seconds`, over all threads, hardly change when others use the machine. The peak is that of the whole
process, dictionaries included: the high-water mark of resident memory (`ru_maxrss` would not do alone on Linux,
since a process inherits it from the one that started it).
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, Any]
STATUS = Path("/proc/self/status")


def plain(W_SFD: np.ndarray) -> Result:
    """The whole cosine matrix and SciPy's Hungarian solver: what SAELens and the code of 2505.20254 do."""
    from scipy.optimize import linear_sum_assignment

    A, B = (W / np.linalg.norm(W, axis=1, keepdims=True) for W in W_SFD[:2])
    C = A @ B.T
    return {"mcc_signed": float(C[linear_sum_assignment(C, maximize=True)].mean())}


def plain_all(W_SFD: np.ndarray) -> Result:
    """`plain`, the same on absolute values, and mean_max_cos, from one matrix."""
    from scipy.optimize import linear_sum_assignment

    A, B = (W / np.linalg.norm(W, axis=1, keepdims=True) for W in W_SFD[:2])
    C = A @ B.T
    signed = float(C[linear_sum_assignment(C, maximize=True)].mean())
    C = np.abs(C)
    loose = float(C.max(axis=1).mean() + C.max(axis=0).mean()) / 2
    return {
        "mcc_signed": signed,
        "mcc_abs": float(C[linear_sum_assignment(C, maximize=True)].mean()),
        "mean_max_cos": loose,
    }


def husai(W_SFD: np.ndarray) -> Result:
    """mcc_signed, as husai does it at this size."""
    from husai.stability.matching import how, match_features

    found = match_features(W_SFD[0], W_SFD[1])
    return {"mcc_signed": found.score, "gap": found.gap, "how": how([found.sparse])} | _maxima(found)


def husai_all(W_SFD: np.ndarray) -> Result:
    """mcc_signed, mcc_abs and mean_max_cos, as husai does them at this size."""
    from husai.stability.matching import compare_rows, how
    from husai.stability.metrics import mean_max
    from husai.stability.rows import directions

    found = compare_rows(directions(W_SFD[0]), directions(W_SFD[1]))
    return {
        "mcc_signed": found.signed.score,
        "mcc_abs": found.absolute.score,
        "mean_max_cos": mean_max(found.largest_a, found.largest_b),
        "gap": found.signed.gap,
        "how": how([found.signed.sparse]),
    } | _maxima(found.signed)


def husai_seeds(W_SFD: np.ndarray) -> Result:
    """The table of all pairs of seeds, own nearest neighbours included."""
    from husai.stability.pairwise import pairwise

    table = pairwise(W_SFD)
    pairs = np.triu_indices(len(W_SFD), 1)
    values: Result = {metric: float(table.matrix(metric)[pairs].mean()) for metric in table.metrics}
    return values | {"gap": float(table.gap("mcc_signed")[pairs].max()), "how": table.how("mcc_signed")}


def sparse(W_SFD: np.ndarray) -> Result:
    """`husai` with the sparse assignment, whatever the size."""
    _always_sparse()
    return husai(W_SFD)


def sparse_all(W_SFD: np.ndarray) -> Result:
    """`husai_all` with the sparse assignment, whatever the size."""
    _always_sparse()
    return husai_all(W_SFD)


METHODS: dict[str, Callable[[np.ndarray], Result]] = {
    method.__name__: method for method in (plain, husai, sparse, plain_all, husai_all, sparse_all, husai_seeds)
}


def measure(method: str, path: Path) -> Result:
    """Seconds, peak bytes and what came out."""
    W_SFD = np.load(path, mmap_mode="r")
    _warm_up(method)
    for W_FD in W_SFD:
        W_FD.max()  # the file is in memory from here on
    start, busy = time.perf_counter(), time.process_time()
    found = METHODS[method](W_SFD)
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - busy}
    return took | {"peak_bytes": high_water(), **found}


def high_water() -> int:
    """Most bytes that were resident at once."""
    if STATUS.exists():
        return 1024 * next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if "VmHWM" in line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _warm_up(method: str) -> None:
    """Load libraries and compiled loops, on next to nothing."""
    tiny_SFD = np.random.default_rng(0).standard_normal((2, 64, 8)).astype(np.float32)
    if method.startswith("plain"):
        METHODS[method](tiny_SFD)
        return
    from husai.stability import tiles

    switch, tiles.EXACT_UP_TO = tiles.EXACT_UP_TO, 0
    METHODS[method](tiny_SFD)
    tiles.EXACT_UP_TO = switch
    METHODS[method](tiny_SFD)
    tiles.EXACT_UP_TO = switch


def _always_sparse() -> None:
    from husai.stability import tiles

    tiles.EXACT_UP_TO = 0


def _maxima(found: Any) -> Result:
    return {} if found.sparse is None else {"gap_to_maxima": found.sparse.gap_to_maxima, "left": found.sparse.left}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
