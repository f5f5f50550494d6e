"""The long-running process: receive loop, heartbeat, drain, health, and the composition root."""
