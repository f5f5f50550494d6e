"""What each reason code means and what to do about it, in a sentence each: for reports and the documentation."""

from worker.errors import CreatorReason, ImageReason, JobReason, RejectReason

IMAGES = {
    ImageReason.BAD_URL: "The link is not one that a server could be asked for. Correct it in the manifest.",
    ImageReason.EXPIRED: "The signed link had run out before it was fetched. Export the manifest anew and run it soon.",
    ImageReason.ADDRESS_REFUSED: "The link leads to an address that is not public. Such addresses are never fetched.",
    ImageReason.FORBIDDEN: "The server refuses this link, most often because its signature is not valid any more. If "
    "the link works in a browser, the server may want a REFERER or another USER_AGENT; both are settings.",
    ImageReason.NOT_FOUND: "The server has no such image (any more).",
    ImageReason.RATE_LIMITED: "The server asked us to slow down, and went on asking. Run the batch again later.",
    ImageReason.SERVER_ERROR: "The server failed each time it was asked. Run the batch again later.",
    ImageReason.TIMEOUT: "The server took longer than the job's timeout allows.",
    ImageReason.DNS: "The host's name is not known.",
    ImageReason.CONNECT: "No connection to the server could be made or kept.",
    ImageReason.TLS: "The server's certificate is not valid.",
    ImageReason.TOO_LARGE: "The file has more bytes than MAX_IMAGE_BYTES.",
    ImageReason.TOO_MANY_PIXELS: "The image has more pixels than MAX_IMAGE_PIXELS.",
    ImageReason.TOO_SMALL: "The image is smaller than MIN_IMAGE_SIZE on a side.",
    ImageReason.NOT_AN_IMAGE: "What came is no image; often it is a web page.",
    ImageReason.UNSUPPORTED_FORMAT: "The image is none of JPEG, PNG, WebP, GIF, AVIF and HEIC, or of a rare kind.",
    ImageReason.UNSUPPORTED_ENCODING: "The server sent the file packed, in a way that cannot be read here (its "
    "Content-Encoding), although the worker asks for files as they are.",
    ImageReason.TRUNCATED: "The file is cut short or damaged.",
    ImageReason.DUPLICATE: "The creator has this picture already: the same link, or the same bytes.",
    ImageReason.DECODER_CRASHED: "The file made the decoder crash. It cost this image only.",
    ImageReason.DECODE_TIMEOUT: "The file took too long to decode.",
    ImageReason.DECODE_MEMORY: "The file needs more memory to decode than one image may take.",
}

MAY_CHANGE = frozenset(
    {
        ImageReason.RATE_LIMITED,
        ImageReason.SERVER_ERROR,
        ImageReason.TIMEOUT,
        ImageReason.DNS,
        ImageReason.CONNECT,
        ImageReason.TLS,
        ImageReason.TRUNCATED,
        ImageReason.FORBIDDEN,
        ImageReason.DECODER_CRASHED,
        ImageReason.DECODE_TIMEOUT,
        ImageReason.DECODE_MEMORY,
        CreatorReason.OUT_OF_MEMORY,
        CreatorReason.WORK_LOST,
        CreatorReason.INTERNAL_ERROR,
    }
)
"""Reasons that another run may not meet again. An expired link stays expired, and what is gone stays gone."""

CREATORS = {
    CreatorReason.OUT_OF_MEMORY: "There was not enough memory for this creator, even one image at a time.",
    CreatorReason.WORKER_CRASHED: "This creator ended its worker three times. Its images are not tried again.",
    CreatorReason.WORK_LOST: "The chunk that this creator was in could not be done; its dead letter says why.",
    CreatorReason.RECORD_TOO_LARGE: "Its collages' keys are more than a record holds. Ask for more cells on a page.",
    CreatorReason.INTERNAL_ERROR: "Something unforeseen went wrong; the worker's log has the details.",
}

REJECTS = {
    RejectReason.NO_URL: "The line has no URL.",
    RejectReason.BAD_SCHEME: "The URL is neither http nor https.",
    RejectReason.NO_CREATOR: "The line has no creator.",
    RejectReason.FIELD_TOO_LONG: "A field, or the line, is longer than any real one.",
    RejectReason.NUL_BYTE: "The line has a NUL byte in it.",
    RejectReason.TOO_MANY_ROWS: "The creator has more rows than a worker looks at. Split them between two creators.",
    RejectReason.BAD_QUOTING: "A quotation mark is opened and not closed.",
    RejectReason.BAD_ENCODING: "The line holds bytes that are no text. Save the manifest as UTF-8.",
    RejectReason.EXTRA_FIELDS: "The line has more fields than the header. Put a field that holds a comma in quotes.",
    RejectReason.ROUNDED_NUMBER: "A spreadsheet has rounded the number. Export the column as text.",
    RejectReason.BAD_JSON: "The line, or the element of the array, is no JSON object.",
}

JOBS = {
    JobReason.BAD_JSON: "The message is not one JSON object.",
    JobReason.UNKNOWN_MESSAGE: "The message is neither a job nor an S3 event.",
    JobReason.UNKNOWN_KEY: "The job has a key that there is not; the text lists those that there are.",
    JobReason.BAD_VALUE: "A value of the job is out of range; the text says what is allowed.",
    JobReason.BUCKET_NOT_ALLOWED: "The job names neither the input bucket nor one of ALLOWED_INPUT_BUCKETS.",
    JobReason.MANIFEST_MISSING: "There is no such object. Upload it, or correct the job, and redrive.",
    JobReason.MANIFEST_FORBIDDEN: "This manifest may not be read, though others may. Grant it, and redrive.",
    JobReason.MANIFEST_ARCHIVED: "The manifest is in an archive (Glacier). Restore it, and redrive.",
    JobReason.BUCKET_MISSING: "There is no such bucket. Correct the job, or make the bucket, and redrive.",
    JobReason.MANIFEST_TOO_LARGE: "The manifest is larger than a worker takes. Split it.",
    JobReason.MANIFEST_NOT_CSV: "The manifest is no table, or a broken workbook. The text says how to convert it.",
    JobReason.MANIFEST_ENCODING: "The manifest's encoding cannot be told. Save it as UTF-8, or name the encoding.",
    JobReason.MANIFEST_COLUMNS: "No creator or URL column was found. Rename them, or name them in the job.",
    JobReason.MANIFEST_EMPTY: "The manifest has no usable row; the text counts the others by reason.",
    JobReason.MANIFEST_CHANGED: "The manifest was replaced while it was read. Tried again by itself.",
    JobReason.CHUNK_MISSING: "A chunk's file is gone, and so is the manifest. Submit the manifest again.",
    JobReason.CHUNK_UNREADABLE: "A chunk's file was not written by a worker, or not whole. Tried again, three times.",
    JobReason.PART_UNREADABLE: "A part of the results is not whole, or no worker's. Tried again, three times.",
    JobReason.BATCH_UNKNOWN: "A chunk's batch is not in the table (any more). Submit the manifest again.",
    JobReason.LEASE_HELD: "Another worker is at this batch. The message waits, at the cost of no attempt.",
    JobReason.LEASE_LOST: "Another worker has taken the batch over. Nothing is lost.",
    JobReason.INTERRUPTED: "The worker was stopped. The rest is handed to the next, at the cost of no attempt.",
    JobReason.CANCELLED: "Somebody cancelled the batch. Drop its manifest again to begin it anew.",
    JobReason.INDEX_BEHIND: "DynamoDB's index does not show every record yet. The batch's end is tried again at once.",
    JobReason.LAST_RECEIVE: "The queue was about to give the message up. A fresh copy took its place.",
    JobReason.WORKER_CRASHED: "Three workers in a row ended at this work before it made any progress.",
    JobReason.AWS_UNAVAILABLE: "S3, SQS or DynamoDB fails or does not answer. The work waits, at no cost.",
    JobReason.AWS_THROTTLED: "S3, SQS or DynamoDB lets too few requests through. The work waits, at no cost.",
    JobReason.AWS_FORBIDDEN: "The task's role lacks a right; the text names the call. The work waits until it has it.",
    JobReason.AWS_CREDENTIALS: "The task's credentials are missing, wrong or expired. The work waits for valid ones.",
    JobReason.AWS_RESOURCE_MISSING: "A bucket, table or queue of the settings is not there. The work waits for it.",
    JobReason.CLOCK_SKEW: "The machine's clock is wrong, so AWS refuses what it signs. The work waits.",
    JobReason.AWS_REFUSED: "AWS refuses the request, and would do so each time; the text says why.",
    JobReason.AWS_UNKNOWN: "AWS answers with an error that the worker does not know. Tried again, three times in all.",
    JobReason.RECORD_TOO_LARGE: "A record would be larger than the 400 KB that DynamoDB takes. Split the manifest.",
    JobReason.MESSAGE_LOST: "The message may be with another worker by now. Nothing is lost.",
    JobReason.COLLAGE_KEYS_TAKEN: "Other batches hold every key that a collage of this batch could have.",
    JobReason.DISK_FULL: "The disk under TMPDIR is full. The work waits, at the cost of no attempt.",
    JobReason.OUTPUT_UNWRITABLE: "The folder of `process` or `download` cannot be written to; the text says why.",
    JobReason.DECODER_BROKEN: "No decoder process starts on this machine; the log tells why. The work waits.",
    JobReason.BAD_SETTINGS: "The environment cannot be used; the text names each bad variable.",
    JobReason.INTERNAL_ERROR: "Something unforeseen; the log has the details. Tried again, three times in all.",
}

MEANING = {reason.value: text for known in (IMAGES, CREATORS, REJECTS) for reason, text in known.items()}
"""From every code to its meaning."""
