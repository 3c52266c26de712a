"""A live line on a terminal, a log line now and then elsewhere."""

import contextlib
import logging
import sys
import time
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bpnet.training.plan import Plan

logger = logging.getLogger(__name__)


class ProgressLine:
    """Shows epoch, loss, rate, speed and the time left while a network trains."""

    def __init__(self, plan: Plan, *, progress: float, every_seconds: float) -> None:
        """Begin at ``progress``; without a terminal, log every so many seconds."""
        self.plan = plan
        self.begun = time.monotonic()
        self.begun_at = progress
        self.every_seconds = every_seconds
        self.logged = self.begun
        self.bar: Any = None
        self.logs = contextlib.ExitStack()
        if sys.stderr.isatty():
            self.logs.enter_context(logging_redirect_tqdm())
            self.bar = tqdm(
                total=100,
                initial=100 * progress,
                bar_format="{desc} |{bar}| {percentage:3.0f}%{postfix}",
                leave=False,
            )

    def show(
        self, step: int, *, progress: float, loss: float, rate: float, images_per_second: float
    ) -> None:
        """Say how step ``step`` went, if it is time to."""
        now = time.monotonic()
        if self.bar is None and now - self.logged < self.every_seconds:
            return
        epoch = min(self.plan.epoch(step - 1) + 1, self.plan.epochs)
        numbers = (
            f"loss {loss:.4g}, rate {rate:.3g}, {images_per_second:.1f} images/s, "
            f"{self._time_left(now, progress)} left"
        )
        if self.bar is not None:
            self.bar.set_description(f"Epoch {epoch}/{self.plan.epochs}", refresh=False)
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update(100 * progress - self.bar.n)
            return
        self.logged = now
        logger.info(
            "Epoch %d/%d, step %d/%d: %s",
            epoch,
            self.plan.epochs,
            step,
            self.plan.last_step,
            numbers,
        )

    def close(self) -> None:
        """Leave the terminal's line clean."""
        if self.bar is not None:
            self.bar.close()
        self.logs.close()

    def _time_left(self, now: float, progress: float) -> str:
        """Hours, minutes and seconds at the speed since the start of this run."""
        done = progress - self.begun_at
        seconds = (now - self.begun) * (1.0 - progress) / done if done > 0 else 0.0
        minutes, second = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
