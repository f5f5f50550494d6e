# ruff: noqa: INP001 -- a script of the image
"""Asks the worker in this container whether it is well. Standard library only: it runs every few seconds."""

import http.client
import os
import sys

port = int(os.environ.get("HEALTH_PORT") or 8080)
if port == 0:  # the endpoint is off: that the process runs is all there is to know
    sys.exit(0)
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
try:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    sys.stdout.write(answer.read(500).decode(errors="replace"))
except OSError as error:
    sys.exit(f"no answer on port {port}: {error}")
sys.exit(answer.status != http.HTTPStatus.OK)
