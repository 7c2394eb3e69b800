"""Turn TF32 off on a GPU: by default cuDNN rounds the factors of float32 convolutions to TF32 there."""

from __future__ import annotations

import torch


def keep_float32(device: str) -> None:
    """Turn TF32 off in this process if `device` is a CUDA device.

    TF32's 11 bits would shift a mean by tenths of a quantisation step. The setting stays for the whole process, because
    a search for better latents continues after the call that started it.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
