"""True float32 on a GPU. By default cuDNN rounds the factors of float32 convolutions to TF32."""

from __future__ import annotations

import torch


def keep_float32(device: str) -> None:
    """Turn TF32 off in this process if `device` is a GPU: its 11 bits would misplace a mean by tenths of a step.

    The setting belongs to the process, and a search for better latents goes on after the call that began it.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
