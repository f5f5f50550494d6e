"""The way to AWS of a command: opened, and asked first whether what the command needs is there, within seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from worker.aws.calls import Patience
from worker.aws.clients import Clients, open_clients
from worker.aws.s3 import PROBED, S3, open_s3
from worker.aws.sqs import Queue, redrive_policy_of
from worker.aws.state_table import StateTable
from worker.errors import Dependency, JobError, JobReason, SettingsError, Unavailable
from worker.jobs.chunk_files import spec_of
from worker.model import BatchRecord
from worker.settings import Settings
from worker.tasks import unwrapped

REACH_SECONDS = 3.0
"""Seconds in which each service has to answer a first question: a person waits at the prompt."""

AT_A_PROMPT = Patience(throttle=20.0, outage=4.0, conflict=10.0, moment=0.0)
"""How long a command waits things out."""


@dataclass(frozen=True, slots=True)
class Access:
    """The clients, and what commands do with them."""

    settings: Settings
    clients: Clients
    s3: S3
    table: StateTable

    def prefix_of(self, batch: BatchRecord) -> str:
        """Return a batch's output prefix; that of the settings where its record does not tell what was asked."""
        return spec_of(batch).job.output_prefix if batch.asked else self.settings.default_output_prefix

    async def link(self, key: str) -> str:
        """Return a link to an object of the output bucket, for S3_PRESIGNED_URL_EXPIRATION seconds and for anyone."""
        return await self.s3.presigned(self.settings.output_bucket, key, self.settings.s3_presigned_url_expiration)

    @property
    def queue(self) -> Queue:
        """The queue of jobs."""
        return Queue(self.clients.sqs, str(self.settings.sqs_queue_url), None, patience=AT_A_PROMPT)

    async def dead_letters(self) -> Queue:
        """Return the dead-letter queue: SQS_DLQ_URL's, or the one that the redrive policy of the queue names."""
        url = self.settings.sqs_dlq_url
        if url is None and self.settings.sqs_queue_url is not None:
            url = (await redrive_policy_of(self.clients.sqs, self.settings.sqs_queue_url)).dead_letter_url
        if url is None:
            raise SettingsError(
                "SQS_DLQ_URL: it is not set, and no SQS_QUEUE_URL has a redrive policy that names the queue"
            )
        return Queue(self.clients.sqs, url, None, patience=AT_A_PROMPT, setting="SQS_DLQ_URL")


@asynccontextmanager
async def open_access(settings: Settings, *needed: Dependency) -> AsyncIterator[Access]:
    """Open the way to AWS, and ask the services that are `needed` whether they are there.

    Raises `Unavailable` within a few seconds where one does not answer, or does not have what the settings name.
    """
    async with open_clients(region=settings.aws_region, endpoint_url=settings.aws_endpoint_url) as clients:
        access = Access(
            settings,
            clients,
            open_s3(settings, clients, patience=AT_A_PROMPT),
            StateTable(
                clients.dynamodb,
                settings.dynamodb_table_name,
                ttl_days=settings.state_ttl_days,
                patience=AT_A_PROMPT,
            ),
        )
        with unwrapped():
            async with asyncio.TaskGroup() as questions:
                for dependency in needed:
                    questions.create_task(_reach(access, dependency))
        yield access


async def _reach(access: Access, dependency: Dependency) -> None:
    try:
        async with asyncio.timeout(REACH_SECONDS):
            await _probe(access, dependency)
    except TimeoutError:
        text = f"{dependency.upper()}: no answer in {REACH_SECONDS:g} s"
        raise Unavailable(dependency, JobReason.AWS_UNAVAILABLE, text) from None
    except JobError as error:
        # Looking at a bucket or a queue takes a right of its own, which the command may not need.
        if error.reason is not JobReason.AWS_FORBIDDEN:
            raise


async def _probe(access: Access, dependency: Dependency) -> None:
    match dependency:
        case Dependency.S3:
            # By a key that is not there: a HEAD of the bucket would not say what is wrong.
            buckets = (access.settings.input_bucket, access.settings.output_bucket)
            await asyncio.gather(*[access.s3.get(bucket, PROBED) for bucket in buckets])
        case Dependency.DYNAMODB:
            await access.table.probe()
        case Dependency.SQS if access.settings.sqs_queue_url is not None:
            await access.queue.probe()
