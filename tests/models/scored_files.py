"""Scored files that no codec made: a curve whose every figure can be worked out by hand."""

from models.scores import ScoredFile

QUALITIES = tuple(range(0, 64, 7))


def files(*, first_bytes: float, db_more: float = 0.0) -> tuple[ScoredFile, ...]:
    """27 to 40.5 dB and 40 to 98.5 points in even steps; bytes grow by a fifth each."""
    return tuple(
        ScoredFile(
            quality=quality,
            size_bytes=round(first_bytes * 1.2**index),
            psnr_db=27 + 1.5 * index + db_more,
            ssimulacra2=40 + 6.5 * index,
        )
        for index, quality in enumerate(QUALITIES)
    )
