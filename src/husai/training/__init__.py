"""Training many seeds at once: one loop, engines that compute a step, couplings that tie seeds together."""
