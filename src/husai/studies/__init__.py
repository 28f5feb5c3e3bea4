"""A study: hypothesis, arms, controls and decision rule, declared before it runs; its plan, its runner, its ledger."""
