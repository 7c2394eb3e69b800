"""Choose the device that the codec runs on, and prepare it for its first batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from service.render.codec_options import WorkerOptions
from service.rendition import RENDITIONS

if TYPE_CHECKING:
    from models.codec import Codec


def choose_device(options: WorkerOptions) -> str:
    """Return the device that the options name; for `auto`, a GPU if there is one. Set the threads of torch."""
    import torch

    torch.set_num_threads(options.threads)
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return options.device


def warm_up(codec: Codec, *, quality: int, most_items: int) -> None:
    """Run every batch size once on a GPU, because first runs compile, and would distort the average times."""
    if not codec.saves_by_batches:
        return
    blank = [np.zeros((codec.size_px, codec.size_px, 3), np.uint8)] * most_items
    symbols = codec.read(codec.encode_together(blank, qualities=[quality] * most_items)[0])
    for items in _batch_sizes(most_items):
        for one in RENDITIONS:
            codec.synthesize([symbols] * items, size_px=one.size_px)


def _batch_sizes(most_items: int) -> list[int]:
    """Return the batch sizes to warm up: the powers of two below `most_items`, and `most_items`."""
    return [*(2**power for power in range((most_items - 1).bit_length())), most_items]
