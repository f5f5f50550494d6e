"""From a URL to an image's bytes: which URLs and addresses are allowed, sockets, one host's pace, memory, retries."""
