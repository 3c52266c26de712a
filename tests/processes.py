"""Trainings in processes of their own, which do not each load TensorFlow anew.

One server process has loaded it, without using it, and forks whenever a test asks.
"""

import json
import logging
import multiprocessing
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from worms import run, spec_of

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["worms"])
PATIENCE = 120  # seconds


def start(worms: Path, folder: Path, **how: Any) -> ForkServerProcess:
    """A training in a process; its log goes to ``folder``.log beside it."""
    process = SERVER.Process(target=_train, args=(worms, folder), kwargs=how, daemon=True)
    process.start()
    return process


def wait(*processes: ForkServerProcess) -> list[int | None]:
    """The exit codes of processes that end."""
    for process in processes:
        process.join(PATIENCE)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def kill_when(process: ForkServerProcess, condition: Callable[[], bool]) -> None:
    """SIGKILL as soon as ``condition`` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.0005)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(PATIENCE)


def cluster(index: int, ports: list[int]) -> str:
    """The TF_CONFIG of one of several workers on this machine."""
    workers = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _train(
    worms: Path,
    folder: Path,
    *,
    devices: int = 1,
    tf_config: str = "",
    log: str = "train",
    spec: dict[str, Any] | None = None,
    batch_size: int = 4,
    largest_file: int = 0,
) -> None:
    """In the process: train on ``devices`` logical CPU devices, or as ``tf_config`` says.

    After the first epoch files end at ``largest_file`` bytes, as if the disk were full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder.with_name(f"{folder.name}.{log}.log"), level="INFO")
    if tf_config:
        os.environ["TF_CONFIG"] = tf_config
    import dataclasses

    import tensorflow as tf

    from bpnet.errors import BpnetError
    from bpnet.training.devices import Devices, choose_devices

    def fill_disk(row: dict[str, float]) -> None:
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    chosen = choose_devices(1, None)
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, parts)
        names = [f"CPU:{number}" for number in range(devices)]
        chosen = Devices(tf.distribute.MirroredStrategy(names))
    made = spec_of(worms, **(spec or {}))
    loader = dataclasses.replace(made.dataloader, batch_size=batch_size)
    try:
        run(
            dataclasses.replace(made, dataloader=loader), folder, devices=chosen, on_epoch=fill_disk
        )
    except BpnetError as error:
        logging.getLogger("bpnet").error("%s", error)
        os._exit(1)
