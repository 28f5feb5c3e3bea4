"""Do features come back? Similarity, matching, metrics, floors and per-feature tables over arrays [S, F, D]."""
