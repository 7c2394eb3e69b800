"""Python imports this at the start of every process of an edge whose device is to be lost, and nothing else does.

At SIGUSR1 a kernel of this process fails by reading outside of a tensor. CUDA then refuses every call of the process,
as it does when a GPU falls off the bus. A process that has not touched CUDA does nothing.
"""

import signal
import sys
from types import FrameType


def lose_device(_signal: int, _frame: FrameType | None) -> None:
    """Make every later CUDA call of this process fail."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        print("no CUDA in this process: nothing to lose", file=sys.stderr, flush=True)
        return
    try:
        torch.zeros(1, device="cuda")[torch.tensor([2**20], device="cuda")].cpu()
    except RuntimeError as error:
        print(f"the device is lost: {error}", file=sys.stderr, flush=True)


signal.signal(signal.SIGUSR1, lose_device)
