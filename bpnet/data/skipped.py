"""Images that a training goes on without."""

import logging
import threading
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

LISTED = 20  # skipped images named in the log


@dataclass
class SkippedImages:
    """What could not be used, by name: each once, with its reason and how often it was met.

    Threads may add to it at once.

    Attributes:
        reasons: The sentence that says what is wrong, for each name.
        times: How often each was met; once an epoch where training goes on.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, name: str, reason: str) -> None:
        """Note that ``name`` was left out, warning the first time.

        Args:
            name: Of the image or record.
            reason: A sentence that names it and says what is wrong.
        """
        with self._lock:
            first = name not in self.reasons
            self.reasons[name] = reason
            self.times[name] = self.times.get(name, 0) + 1
        if first:
            logger.warning("skipped: %s", reason)

    def add_once(self, name: str, reason: str) -> None:
        """As ``add``, for what is met again only because it is looked at again."""
        if name not in self.reasons:
            self.add(name, reason)

    def report(self) -> None:
        """Log what was skipped, if anything; sorted, the first few by name."""
        with self._lock:
            reasons, times = dict(self.reasons), dict(self.times)
        if not reasons:
            return
        logger.warning(
            "%d images or record files were skipped, %d times in all:",
            len(reasons),
            sum(times.values()),
        )
        for name in sorted(reasons)[:LISTED]:
            logger.warning("  %s (%d times)", reasons[name], times[name])
        if len(reasons) > LISTED:
            logger.warning("  and %d more, named above", len(reasons) - LISTED)
