"""What a compiled model keeps beside its weights: optimizer, losses, metrics, programs."""

from __future__ import annotations

from typing import Any

from xlathe.runtime.training.dispatch import Program, States
from xlathe.runtime.training.metrics.means import Mean
from xlathe.runtime.training.outputs import OutputLosses, OutputMetrics


class FitState:
    """What `compile` was given and what training made of it.

    Args:
        optimizer: the optimizer.
        losses: the losses of the outputs, or `None`.
        metrics: the metrics of the outputs, or `None`.
        options: the options of `xlathe.compile`.
        run_eagerly: whether steps run without being compiled.
        steps_per_execution: how many steps a program runs between calls of batch hooks.
    """

    def __init__(
        self,
        optimizer: Any,
        losses: OutputLosses | None,
        metrics: OutputMetrics | None,
        options: dict[str, Any],
        run_eagerly: bool,
        steps_per_execution: int,
    ) -> None:
        self.optimizer = optimizer
        self.losses = losses
        self.metrics = metrics
        self.options = options
        self.run_eagerly = run_eagerly
        self.steps_per_execution = steps_per_execution
        self.loss_tracker = Mean(name="loss")
        self.rows: Any = None
        self.programs: dict[str, Program] = {}
        self.states: dict[str, States] = {}
        self.trained: tuple[int, ...] = ()
        self.outputs: Any = None
        self.loops = True
        self.pads = {True: False, False: False}
        self.ready: set[Any] = set()

    def drop_programs(self) -> None:
        """Forget what was compiled: the model's variables are others now."""
        self.programs = {}
        self.states = {}
        self.ready = set()
