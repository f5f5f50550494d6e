"""`python -m worker COMMAND`: the same as the console script `collage`."""

from worker.cli.app import main

main()
