"""What an architecture does not take: one line each, before anything runs. Torch-free."""

from __future__ import annotations

from husai.saes.config.common import CommonConfig


def takes_only(config: CommonConfig, why: str, **allowed: object) -> None:
    """Raise unless each named option has its allowed value, or one of a tuple of them.

    Raises:
        ValueError: names the option, what it may be, and why.
    """
    for name, values in allowed.items():
        options = values if isinstance(values, tuple) else (values,)
        if getattr(config, name) not in options:
            raise ValueError(f"{name} must be {' or '.join(map(str, options))}: {why}")
