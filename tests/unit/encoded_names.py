"""The inverse of `worker.keys.safe_name`, which the worker itself does not need."""

from urllib.parse import unquote


def name_of(encoded: str) -> str:
    """Return the name that `safe_name` encoded, where it was not cut."""
    return unquote(encoded, errors="surrogatepass")
