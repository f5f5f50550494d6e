# What is about safety; included by the Makefile.
.PHONY: hostile-origin fuzz sbom measure-sandbox

hostile-origin: setup ## a server that does everything wrong, on 127.0.0.1:8666, to try the worker against by hand
	@$(PY) -m tests.security.hostile_origin

fuzz: setup ## the properties of tests/security/test_fuzz.py with 20,000 examples each; takes an hour or two
	@HYPOTHESIS_PROFILE=fuzz nice $(PY) -m pytest -p no:cacheprovider --timeout 0 -x tests/security/test_fuzz.py

sbom: setup ## the bill of materials (CycloneDX) of .venv; of the image: see SECURITY.md
	@$(PY) scripts/make_sbom.py

measure-sandbox: setup ## what the sandbox costs, against decoding in threads
	@$(PY) scripts/measure_sandbox.py 9
