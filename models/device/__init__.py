"""The decoder for an accelerator: symbols of many pictures -> pictures, in batches (decoder.py).

    packing.py    symbols -> contiguous bytes in the host's pinned memory
    lanes.py      streams and events of the device; on a CPU all work is done in order
    networks.py   packed symbols -> levels of pixels, as modules without branches that depend on numbers
    buckets.py    one captured CUDA graph for each size and bucket of batch sizes
    decoder.py    copies in, computes, copies out; two batches on the device at once

How to time it "from symbols": read all bitstreams first, then call `Codec.submit` for batch after batch and keep a few
tickets open. `ticket.pictures()` waits for its own batch only, so that the copies of one batch overlap the networks
of another. `Codec.synthesize` does the same within one call for more pictures than the largest bucket holds.
All graphs are captured while the codec loads, so the first call is as fast as the others.
"""
