"""A search for better latents of several pictures, slice by slice. Only the codec's thread uses this module.

    begin (all pictures) -> one step (all pictures) ... -> the answer for one picture ...

Each of these is one slice. A hit that arrives during a search waits only for the end of the present slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.render.jobs import RefineJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.codec import Codec
    from models.readers import Readers
    from models.refinement import Refinement


class SearchBatch:
    """One search for several pictures, with the same number of steps for all."""

    def __init__(self, jobs: Sequence[RefineJob]) -> None:
        self._jobs = tuple(jobs)
        self._answered = 0
        self._refinement: Refinement | None = None
        self._found: list[bytes] = []

    @property
    def unanswered(self) -> tuple[RefineJob, ...]:
        """Return the jobs of this search that have no answer yet."""
        return self._jobs[self._answered :]

    @property
    def is_over(self) -> bool:
        """Return whether all jobs of this search are answered or cancelled."""
        return all(job.gone for job in self.unanswered)

    def advance(self, codec: Codec, readers: Readers | None) -> RefineJob | None:
        """Run one slice of the search. Return the job that was answered in it, or None."""
        if self._refinement is None:
            self._refinement = self._begin(codec, readers)
        elif not self._refinement.is_done:
            self._refinement.step()
        else:
            return self._answer(codec, self._refinement)
        return None

    def _begin(self, codec: Codec, readers: Readers | None) -> Refinement:
        return codec.refinement(
            [job.pixels for job in self._jobs],
            qualities=[job.search.quality for job in self._jobs],
            steps=self._jobs[0].search.steps,
            readers=readers,
        )

    def _answer(self, codec: Codec, refinement: Refinement) -> RefineJob:
        self._found = self._found or refinement.bitstreams()
        job, bitstream = self._jobs[self._answered], self._found[self._answered]
        if not job.gone:
            job.succeed(bitstream if _is_as_promised(codec, job, bitstream) else None)
        self._answered += 1
        return job


def _is_as_promised(codec: Codec, job: RefineJob, bitstream: bytes) -> bool:
    """Return whether the new bitstream still reaches the job's target score, because a search may lower the score."""
    if job.search.target is None:
        return True
    return codec.ssimulacra2(job.pixels, bitstream) >= job.search.target.ssimulacra2
