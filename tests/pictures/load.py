"""A load that touches most panels: hits of both sizes, new pictures all the time, a missing one, and purges."""

from __future__ import annotations

import threading
import time

import httpx
import numpy as np

from service.demo.photographs import PhotoFolder

PAUSE_S = 0.03
SHARE_AT_FIRST = 0.3
"""The share of the pictures that is asked for from the beginning. The others come one by one."""


class Load:
    """Requests one after the other."""

    def __init__(self, client: httpx.Client, photos: PhotoFolder, *, token: str, seconds: float) -> None:
        """`seconds` is how long it takes until all pictures are asked for."""
        self._client = client
        self._names = photos.names
        self._token = token
        self._seconds = seconds
        self._random = np.random.default_rng(5)

    def send(self, ending: threading.Event) -> None:
        """Send requests until the event."""
        began_s, number = time.monotonic(), 0
        while not ending.wait(PAUSE_S):
            share = min(1, SHARE_AT_FIRST + (time.monotonic() - began_s) / self._seconds)
            self._ask(int(share * len(self._names)), number)
            number += 1

    def _ask(self, pictures: int, number: int) -> None:
        name = self._names[int(pictures * self._random.random() ** 3)]  # the first ones are asked for most often
        if number % 100 == 99:
            headers = {"Authorization": f"Bearer {self._token}"}
            self._client.post("/purge", json={"id": name}, headers=headers).raise_for_status()
        elif number % 40 == 39:
            self._client.get("/image/none.jpg")
        else:
            params = {"res": "high" if self._random.random() < 0.4 else "medium"}
            headers = {"Accept": "image/avif,image/webp,*/*" if number % 3 == 0 else "image/jpeg"}
            self._client.get(f"/image/{name}", params=params, headers=headers).raise_for_status()
