"""Bytes to cell to collage: fetching, address rules, decoding, geometry, composing."""
