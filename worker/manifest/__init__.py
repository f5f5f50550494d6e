"""From any manifest file to creator groups: bytes, text, records, columns, rows, groups. Everything here blocks."""
