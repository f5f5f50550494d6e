# The unit and security tests on the Python of the image, as an ordinary user in a plain container: make test-image-python.

FROM python:3.13-slim-trixie

# What `make setup` asks for, and would install by itself where it may.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      build-essential make libjpeg-dev liblcms2-dev libwebp-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home tester \
 && install --directory --owner tester /src

USER tester
WORKDIR /src
COPY --chown=tester . .
RUN make setup

CMD [".venv/bin/python", "-m", "pytest", "-q", "tests/unit", "tests/security"]
