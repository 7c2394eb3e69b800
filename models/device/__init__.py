"""The decoder once more, for an accelerator: symbols of many pictures -> pictures, in batches (decoder.py).

    packing.py    symbols -> one run of bytes in the host's pinned memory
    lanes.py      streams and events of the device; on a processor everything happens in order
    networks.py   packed symbols -> levels of pixels, as modules without branches that depend on numbers
    buckets.py    one captured CUDA graph for each size and bucket of batch sizes
    decoder.py    copies in, computes, copies out; two batches on the device at once

How to time it "from symbols": read all bitstreams first, then call `Codec.submit` for batch after batch and keep a few
tickets open. `ticket.pictures()` waits for its own batch only, so that the copies of one batch overlap the networks
of another. `Codec.synthesize` does so within one call when it is given more pictures than the largest bucket holds.
Everything is captured while the codec is loaded, so the first call is as quick as the others.
"""
