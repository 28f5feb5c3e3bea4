"""T40. Claimed: a TopK SAE. True: k was 3,686 with a width of 1,024, so that nothing was sparse and the input could be
copied. husai refuses k that is not below d_in and d_sae, and warns from half of it."""

from __future__ import annotations

import numpy as np
import pytest

from husai.activations.guards import check_rows
from husai.activations.manifest import Origin
from husai.activations.writer import write_rows
from husai.errors import UserError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    rows = np.random.default_rng(0).laplace(size=(200, 1024)).astype(np.float32)
    origin = Origin(kind="external", synthetic=False, description="rows")
    return write_rows(tmp_path_factory.mktemp("t40") / "c", rows, origin).manifest


def test_the_published_k_is_refused_with_the_reason(manifest):
    with pytest.raises(UserError, match=r"k=3686 is not below d_in=1024.*choose k well below 1024"):
        check_rows(manifest, d_sae=8192, k=3686)
    assert any(
        "k=3686 is not below" in line
        for line in check_rows(manifest, 8192, 3686, allow_large_k=True, allow_few_rows=True)
    )


@pytest.mark.parametrize(("k", "said"), [(32, ""), (512, ""), (513, "more than half"), (1023, "more than half")])
def test_sparse_codes_are_silent_and_dense_ones_named(manifest, k, said):
    lines = [line for line in check_rows(manifest, d_sae=8192, k=k, allow_few_rows=True) if line.startswith("k=")]
    assert bool(lines) is bool(said)
    assert all(said in line for line in lines)
