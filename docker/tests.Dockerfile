# The unit and security tests on the Python of the image, in a plain container: make test-image-python.

FROM python:3.13-slim-trixie

RUN apt-get update \
 && apt-get install --yes --no-install-recommends make \
 && useradd --create-home tester

# As root, so that it installs what else it needs; the tests run as an ordinary user.
WORKDIR /src
COPY . .
RUN make setup && chown --recursive tester .

USER tester
CMD [".venv/bin/python", "-m", "pytest", "-q", "tests/unit", "tests/security"]
