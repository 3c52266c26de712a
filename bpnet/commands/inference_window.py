"""The window of ``bpnet inference --show``."""

import os
import sys
import threading
from typing import TYPE_CHECKING

from bpnet.errors import MissingLibraryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ESCAPE, WAIT = 27, 20  # a key's code, milliseconds


def open_window() -> "Window":
    """A window, if this machine can show one.

    Raises:
        MissingLibraryError: There is no screen, or this OpenCV has no windows.
    """
    import cv2

    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise MissingLibraryError(
            "--show needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set; leave --show "
            "out and use --dump_visualizations"
        )
    try:
        cv2.namedWindow("bpnet", cv2.WINDOW_NORMAL)
        cv2.destroyWindow("bpnet")
    except cv2.error as error:
        raise MissingLibraryError(
            "--show needs an OpenCV with windows, which the headless one is not: pip uninstall "
            "opencv-python-headless && pip install opencv-python"
        ) from error
    return Window()


class Window:
    """A window a source, fed by one thread and shown by the main one, as screens want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, NDArray[np.uint8]] = {}
        self._open: set[str] = set()

    def offer(self, name: str, drawing: "NDArray[np.uint8]") -> None:
        """Show the (H, W, 3) uint8 RGB drawing next, unless a newer one comes first."""
        with self._lock:
            self._latest[name] = drawing

    def update(self) -> bool:
        """Show what is new; False when somebody pressed q or Esc, or closed a window."""
        import cv2

        with self._lock:
            latest, self._latest = self._latest, {}
        for name, drawing in latest.items():
            if name not in self._open:
                cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                self._open.add(name)
            cv2.imshow(name, cv2.cvtColor(drawing, cv2.COLOR_RGB2BGR))
        if not self._open:
            threading.Event().wait(WAIT / 1000)
            return True
        if cv2.waitKey(WAIT) & 0xFF in (ord("q"), ESCAPE):
            return False
        return all(cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) > 0 for name in self._open)

    def close(self) -> None:
        """Close every window."""
        import cv2

        if self._open:
            cv2.destroyAllWindows()
            self._open.clear()
