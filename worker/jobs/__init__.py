"""The use cases: message to job; a batch is planned, run and finished; one creator. It talks to ports, never to AWS."""
