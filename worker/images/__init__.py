"""Bytes to cell to collage: what a file is, geometry, profiles, codecs, composing. It runs inside a decoder as well."""
