"""Every kind of job to the work that does it."""

import asyncio

from worker.errors import TerminalError
from worker.jobs.batch import BatchWork
from worker.jobs.chunk import ChunkWork
from worker.model import ChunkJob, Job, Outcome


class JobWork:
    """Runs whatever a message asks for."""

    def __init__(self, batches: BatchWork, chunks: ChunkWork) -> None:
        self._batches = batches
        self._chunks = chunks

    async def run(self, job: Job | ChunkJob, message_id: str, stop: asyncio.Event) -> Outcome:
        """Do the job and say what becomes of its message."""
        if isinstance(job, ChunkJob):
            return await self._chunks.run(job, stop)
        return await self._batches.run(job, message_id, stop)

    async def refuse(self, message_id: str, error: TerminalError) -> str:
        """Record a message that could not be understood; returns the id it is recorded under."""
        return await self._batches.refuse(message_id, error)
