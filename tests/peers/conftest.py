"""Peers as they run on a CPU."""

from __future__ import annotations

import os

# With triton installed sparsify decodes by a kernel that only a GPU can run; it is read when sparsify is imported.
os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")
