"""moto's server for the benchmark: it keeps connections open, as AWS does. `python bench/emulator.py PORT`.

The server that moto comes with closes every connection after one answer, and each call would pay for a new one.
"""

import sys

import waitress
from moto.server import DomainDispatcherApplication, create_backend_app

if __name__ == "__main__":
    app = DomainDispatcherApplication(create_backend_app)
    waitress.serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=32, _quiet=True)
