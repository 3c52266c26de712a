"""Which of several machines this one is, by the environment's ``TF_CONFIG``."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from bpnet.errors import SpecError

VARIABLE = "TF_CONFIG"
ROLES = ("chief", "worker")  # in the order in which TensorFlow numbers them


@dataclass(frozen=True)
class Worker:
    """This process among those that train together.

    Attributes:
        index: From 0; the first one is the chief, which alone writes files.
        count: Of all processes.
    """

    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0


def read_cluster(environment: Mapping[str, str] = os.environ) -> Worker:
    """The worker that ``TF_CONFIG`` says this process is; the only one without it.

    Raises:
        SpecError: ``TF_CONFIG`` is not what TensorFlow expects.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return Worker()
    try:
        said = json.loads(text)
        cluster = said.get("cluster", {})
        hosts = [(role, number) for role in ROLES for number in range(len(cluster.get(role, [])))]
        if not hosts:
            return Worker()
        task = said["task"]
        own = (str(task["type"]), int(task["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{VARIABLE} cannot be understood: {error!r}; found {text}") from error
    if own not in hosts:
        raise SpecError(
            f"{VARIABLE}: this process is {own[0]} {own[1]}, which its cluster does not list; "
            f"training knows the roles {' and '.join(ROLES)}"
        )
    return Worker(hosts.index(own), len(hosts))
