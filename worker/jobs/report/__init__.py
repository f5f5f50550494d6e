"""The report of a batch: one HTML page that shows all that it needs from within itself."""
