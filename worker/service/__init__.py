"""The long-running process: receive loop, heartbeat, drain, protection, health endpoint, and the assembly."""
