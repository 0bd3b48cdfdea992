"""A server that crashes now and then, and is started again.

Rule for this file: chance, as the supervisor's. Without a server nothing happens.
"""

from __future__ import annotations

import random
import threading
from typing import Self

from servers import Server

__all__ = ["Outages"]


class Outages:
    """Kills the server at random instants for as long as the block lasts; it runs when the block ends."""

    def __init__(self, server: Server | None, seed: int) -> None:
        self.count = 0
        self._server = server
        self._random = random.Random(f"{seed} outages")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while self._server is not None and not self._ending.wait(self._random.uniform(1, 4)):
            self._server.kill()
            self._ending.wait(self._random.uniform(0, 0.5))
            self._server.start()
            self.count += 1
