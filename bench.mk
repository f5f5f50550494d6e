.PHONY: bench bench-quick

bench: setup ## measure against all else there is, and write docs/performance.md's tables and plots (15 minutes)
	@$(PY) -m bench

bench-quick: setup ## the same with few ways and rounds, told and not written (2 minutes)
	@$(PY) -m bench --quick
