"""One module for each AWS service that the worker talks to."""
