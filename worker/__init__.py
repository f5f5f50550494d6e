"""The collage worker: manifests of cover URLs in, one grid collage per creator out."""

__version__ = "0.1.0"
