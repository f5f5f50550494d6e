"""The use cases: a message becomes jobs; a job's batch is planned, run and finished."""
