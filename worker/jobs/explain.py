"""What each reason code means and what to do about it, in a sentence each: for reports and the documentation."""

from worker.errors import CreatorReason, ImageReason, RejectReason

IMAGES = {
    ImageReason.BAD_URL: "The link is not one that a server could be asked for. Correct it in the manifest.",
    ImageReason.EXPIRED: "The signed link had run out before it was fetched. Export the manifest anew and run it soon.",
    ImageReason.ADDRESS_REFUSED: "The link leads to an address that is not public. Such addresses are never fetched.",
    ImageReason.FORBIDDEN: "The server refuses this link, most often because its signature is not valid any more.",
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
    ImageReason.UNSUPPORTED_FORMAT: "The image has a format other than JPEG, PNG, WebP and GIF.",
    ImageReason.TRUNCATED: "The file is cut short or damaged.",
    ImageReason.DUPLICATE: "The creator has this picture already: the same link, or the same bytes.",
    ImageReason.DECODER_CRASHED: "The file made the decoder crash. It cost this image only.",
    ImageReason.DECODE_TIMEOUT: "The file took too long to decode.",
    ImageReason.DECODE_MEMORY: "The file needs more memory to decode than one image may take.",
}

CREATORS = {
    CreatorReason.OUT_OF_MEMORY: "There was not enough memory for this creator, even one image at a time.",
    CreatorReason.INTERNAL_ERROR: "Something unforeseen went wrong; the worker's log has the details.",
}

REJECTS = {
    RejectReason.NO_URL: "The line has no URL.",
    RejectReason.BAD_SCHEME: "The URL is neither http nor https.",
    RejectReason.NO_CREATOR: "The line has no creator.",
    RejectReason.FIELD_TOO_LONG: "A field, or the line, is longer than any real one.",
    RejectReason.NUL_BYTE: "The line has a NUL byte in it.",
    RejectReason.BAD_QUOTING: "A quotation mark is opened and not closed.",
}

MEANING = {reason.value: text for known in (IMAGES, CREATORS, REJECTS) for reason, text in known.items()}
"""From every code to its meaning."""
