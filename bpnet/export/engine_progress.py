"""How far TensorRT is with an engine: builds take minutes. From TensorRT 10."""

from typing import Any

from tqdm import tqdm


def make_monitor(trt: Any, bar: "tqdm[Any]") -> Any:
    """A monitor of TensorRT's that counts the steps of all phases in ``bar``.

    TensorRT calls it from C++, which no exception may cross. So Ctrl-C ends the build there, and
    waits in the monitor's ``stopped`` for whoever started the build.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # a class of a library without types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            bar.total = (bar.total or 0) + num_steps  # inner phases come as they come
            bar.set_postfix_str(phase_name, refresh=False)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                bar.update(1)
            except (KeyboardInterrupt, SystemExit) as stop:  # the latter: SIGTERM
                self.stopped = stop
            return self.stopped is None

        def phase_finish(self, phase_name: str) -> None:
            return None

    return Monitor()
