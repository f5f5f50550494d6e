"""A Content-Length that is told several times with the same value counts as told once (RFC 9110, 8.6).

Browsers take such answers, and the HTTP client's parser refuses them, so the repetitions are taken out before it sees
them. Different values stay as they are, and are refused: they are how one answer is smuggled into another.
"""

_HEAD_END = b"\r\n\r\n"
_NAME = b"content-length"
_LONGEST_LINE = 8_192


def is_in_order(received: bytes) -> bool:
    """Say whether the first bytes of an answer hold its whole head, and that nothing has to be done about it.

    Nearly all do: this is what every answer costs.
    """
    end = received.find(_HEAD_END)
    if end < 0 or received[:8] != b"HTTP/1.1" or received[9:10] == b"1":
        return False
    head = received[:end].lower()
    at = head.find(_NAME)
    return at < 0 or (head.find(_NAME, at + 1) < 0 and head.find(b",", at, head.find(b"\n", at)) < 0)


class LengthsOnce:
    """Takes repeated Content-Length lines out of one answer's head, however the head is cut when it arrives."""

    def __init__(self) -> None:
        self.is_past_the_head = False
        self._unfinished_line = b""
        self._is_interim = False
        self._length: bytes | None = None

    def feed(self, received: bytes) -> bytes:
        """Return what the parser is to see of the next bytes; nothing while a line of the head is not complete."""
        if self.is_past_the_head:
            return received
        return b"".join(self._lines(self._unfinished_line + received))

    def _lines(self, received: bytes) -> list[bytes]:
        lines: list[bytes] = []
        while received and not self.is_past_the_head:
            line, newline, rest = received.partition(b"\n")
            if not newline and len(line) <= _LONGEST_LINE:
                break
            lines.append(self._line(line + newline))
            received = rest
        self._unfinished_line = b"" if self.is_past_the_head else received
        return [*lines, received] if self.is_past_the_head else lines

    def _line(self, line: bytes) -> bytes:
        text = line.rstrip(b"\r\n")
        if text.startswith(b"HTTP/"):
            self._is_interim, self._length = text[9:10] == b"1", None
        elif not text:
            self.is_past_the_head = not self._is_interim
        name, colon, value = text.partition(b":")
        if not colon or name.lower() != _NAME:
            return line
        lengths = {part.strip() for part in value.split(b",")}
        if self._length is not None:
            lengths.add(self._length)
        if len(lengths) > 1 or not (length := lengths.pop()).isdigit():
            return line
        if self._length is not None:
            return b""
        self._length = length
        return name + b": " + length + line[len(text) :]
