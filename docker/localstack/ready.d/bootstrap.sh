#!/bin/sh
# LocalStack runs this once its services answer. Until it has succeeded, the container is not healthy.
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
exec python3 -B /opt/collage/bootstrap.py
