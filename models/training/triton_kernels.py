"""The Triton kernels of fast_layers.py, for training on a GPU. Tensors are channels_last: `x[p, c]`, p over B H W.

One program computes P pixels and C channels. In kernels that sum over pixels, a program sums several blocks of P pixels
before it adds its sum to the shared result atomically.
"""

import triton
import triton.language as tl


@triton.jit
def convolve(
    x, weight, bias, out, places, height, width, channels, REVERSED: tl.constexpr, P: tl.constexpr, C: tl.constexpr
):
    place = tl.program_id(0) * P + tl.arange(0, P)
    channel = tl.program_id(1) * C + tl.arange(0, C)
    known = channel < channels
    row, column = (place // width) % height, place % width
    total = tl.zeros([P, C], dtype=tl.float32)
    if not REVERSED:
        total += tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    for tap in tl.static_range(9):
        dy, dx = tap // 3 - 1, tap % 3 - 1
        inside = (place < places) & (row + dy >= 0) & (row + dy < height) & (column + dx >= 0) & (column + dx < width)
        at = (place + dy * width + dx)[:, None] * channels + channel[None, :]
        value = tl.load(x + at, mask=inside[:, None] & known[None, :], other=0.0).to(tl.float32)
        factor = tl.load(weight + channel * 9 + (8 - tap if REVERSED else tap), mask=known, other=0.0).to(tl.float32)
        total += value * factor[None, :]
    at = place[:, None] * channels + channel[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=(place < places)[:, None] & known[None, :])


@triton.jit
def _product(x, slope, place, row, column, dy, dx, places, height, width, channels, channel, known):
    inside = (place < places) & (row + dy >= 0) & (row + dy < height) & (column + dx >= 0) & (column + dx < width)
    at = (place + dy * width + dx)[:, None] * channels + channel[None, :]
    value = tl.load(x + at, mask=inside[:, None] & known[None, :], other=0.0).to(tl.float32)
    return tl.sum(slope * value, axis=0)


@triton.jit
def weigh(
    x, grad, grad_weight, grad_bias, places, height, width, channels,
    BLOCKS: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * C + tl.arange(0, C)
    known = channel < channels
    bias = tl.zeros([C], dtype=tl.float32)
    sum0 = tl.zeros([C], dtype=tl.float32)
    sum1 = tl.zeros([C], dtype=tl.float32)
    sum2 = tl.zeros([C], dtype=tl.float32)
    sum3 = tl.zeros([C], dtype=tl.float32)
    sum4 = tl.zeros([C], dtype=tl.float32)
    sum5 = tl.zeros([C], dtype=tl.float32)
    sum6 = tl.zeros([C], dtype=tl.float32)
    sum7 = tl.zeros([C], dtype=tl.float32)
    sum8 = tl.zeros([C], dtype=tl.float32)
    for block in range(BLOCKS):
        place = (tl.program_id(0) * BLOCKS + block) * P + tl.arange(0, P)
        row, column = (place // width) % height, place % width
        own = place[:, None] * channels + channel[None, :]
        slope = tl.load(grad + own, mask=(place < places)[:, None] & known[None, :], other=0.0).to(tl.float32)
        bias += tl.sum(slope, axis=0)
        sum0 += _product(x, slope, place, row, column, -1, -1, places, height, width, channels, channel, known)
        sum1 += _product(x, slope, place, row, column, -1, 0, places, height, width, channels, channel, known)
        sum2 += _product(x, slope, place, row, column, -1, 1, places, height, width, channels, channel, known)
        sum3 += _product(x, slope, place, row, column, 0, -1, places, height, width, channels, channel, known)
        sum4 += _product(x, slope, place, row, column, 0, 0, places, height, width, channels, channel, known)
        sum5 += _product(x, slope, place, row, column, 0, 1, places, height, width, channels, channel, known)
        sum6 += _product(x, slope, place, row, column, 1, -1, places, height, width, channels, channel, known)
        sum7 += _product(x, slope, place, row, column, 1, 0, places, height, width, channels, channel, known)
        sum8 += _product(x, slope, place, row, column, 1, 1, places, height, width, channels, channel, known)
    tl.atomic_add(grad_weight + channel * 9 + 0, sum0, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 1, sum1, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 2, sum2, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 3, sum3, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 4, sum4, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 5, sum5, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 6, sum6, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 7, sum7, mask=known)
    tl.atomic_add(grad_weight + channel * 9 + 8, sum8, mask=known)
    tl.atomic_add(grad_bias + channel, bias, mask=known)


@triton.jit
def sum_columns(x, sums, places, channels, BLOCKS: tl.constexpr, P: tl.constexpr, C: tl.constexpr):
    channel = tl.program_id(1) * C + tl.arange(0, C)
    known = channel < channels
    total = tl.zeros([C], dtype=tl.float32)
    for block in range(BLOCKS):
        place = (tl.program_id(0) * BLOCKS + block) * P + tl.arange(0, P)
        mask = (place < places)[:, None] & known[None, :]
        at = place[:, None] * channels + channel[None, :]
        total += tl.sum(tl.load(x + at, mask=mask, other=0.0).to(tl.float32), axis=0)
    tl.atomic_add(sums + channel, total, mask=known)
