"""The decoder for an accelerator: symbols of many pictures -> pictures, in batches (decoder.py).

    packing.py    symbols -> contiguous bytes in the host's pinned memory
    lanes.py      CUDA streams and events; on a CPU the same interface does all work at once
    networks.py   unpacked symbols -> pixel values, as modules without data-dependent branches
    buckets.py    one captured CUDA graph for each picture size and batch size 1, 2, 4, ...
    decoder.py    copies in, computes, copies out; two batches are on the device at once

To measure the decoder's throughput, read all bitstreams first, then call `Codec.submit` for one batch after the other
and keep a few tickets open. `ticket.pictures()` waits for its own batch only, so the copies of one batch overlap the
computation of another. `Codec.synthesize` overlaps batches in the same way if a call has more pictures than the largest
batch. All graphs are captured while the codec loads, so the first call is as fast as later ones.
"""
