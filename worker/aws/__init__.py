"""One module for each AWS service, and the stores that implement the ports of `worker.jobs`."""
