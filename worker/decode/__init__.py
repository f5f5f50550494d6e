"""Decoder processes: sandboxed children that turn hostile bytes into cells, and the memory they share."""
