"""husai's own step: the engine that `choose` gives for the configuration, S seeds at once.

Configuration: TopK with AuxK on (d_in / 2 dead latents, the rule of the peers; coefficient 1/32) and unit decoder rows,
random initialisation. A latent counts as dead after 10,000,000 rows, as in dictionary_learning and sparsify; no run
here is that long, so nobody's AuxK term is ever computed: what each step does for it is the bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from benchmarks.sizes import Size

if TYPE_CHECKING:
    from husai.training.engines.engine import Engine
    from husai.training.state import TrainState

DEAD_AFTER = 10_000_000
STEPS = 1_000_000  # the rate stays constant: no decay within a benchmark


@dataclass(frozen=True)
class Husai:
    """`step(x_SBD)` is one complete step of all seeds; `engine` computed it, for the reason `why`."""

    step: Callable[[Tensor], None]
    engine: str
    why: str


def make(size: Size, device: str = "cpu", engine: str = "auto") -> Husai:
    """SAEs of `size.seeds` seeds at step 0, and what advances them; an engine that is not there ends the program."""
    from husai.errors import UserError
    from husai.saes.config import TopKConfig  # imported late: a limit on threads must come first
    from husai.training.config import TrainingConfig
    from husai.training.engines.choose import choose
    from husai.training.state import start

    name = "cuda" if (device, engine) == ("cuda", "auto") else engine
    aux_k = min(size.d_in // 2, size.d_sae)
    config = TopKConfig(d_sae=size.d_sae, k=size.k, aux_k=aux_k, dead_after=DEAD_AFTER, decoder_norm="unit")
    try:
        training = TrainingConfig.model_validate({"steps": STEPS, "batch": size.batch, "engine": name})
        chosen, why = choose(config, training)
    except (ValueError, UserError) as error:
        raise SystemExit(f"engine {name} cannot be had: {' '.join(str(error).split())}") from None
    if (chosen.name == "cuda") != (device == "cuda"):
        raise SystemExit(f"engine {chosen.name} does not run on {device}: leave --engine or --device out")
    state = start(config, training, size.d_in, tuple(range(size.seeds)), root=0)
    measured = _prepared(chosen, state, size.batch) if device == "cuda" else ""

    def step(x_SBD: Tensor) -> None:
        chosen.step(state, x_SBD, training.lr)

    return Husai(step, chosen.name, f"{why}; {chosen.how}{measured}")


def _prepared(engine: Engine, state: TrainState, batch: int) -> str:
    """Have the engine move the state and choose its paths now, not in the first step; what it measured, in ms."""
    from husai.training.engines.cuda import CudaEngine

    assert isinstance(engine, CudaEngine)
    engine.prepare(state, batch)
    stages = (
        f"{stage} " + ", ".join(f"{path} {ms:.3g}" for path, ms in of.items()) for stage, of in engine.measured.items()
    )
    return f"; ms: {'; '.join(stages)}" if engine.measured else ""
