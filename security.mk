# What is about safety; included by the Makefile.
.PHONY: base-image hostile-origin fuzz fuzz-coverage fuzz-jpeg mutations sbom audit audit-image measure-sandbox

hostile-origin: setup ## a server that does everything wrong, on 127.0.0.1:8666, to try the worker against by hand
	@$(PY) -m tests.security.hostile_origin

fuzz: setup ## the properties of tests/security/test_fuzz.py with 20,000 examples each; takes an hour or two
	@HYPOTHESIS_PROFILE=fuzz nice $(PY) -m pytest -p no:cacheprovider --timeout 0 -x tests/security/test_fuzz.py

fuzz-coverage: setup ## the same, guided by coverage (atheris, where it has a wheel); SECONDS=600
	@scripts/fuzz_coverage $(or $(SECONDS),600)

fuzz-jpeg: setup ## our C code for JPEGs against libjpeg's, guided by coverage (needs clang); SECONDS=600
	@scripts/fuzz_jpeg $(or $(SECONDS),600)

mutations: setup ## take each guard out, one at a time, and see that a test goes red; ten minutes
	@$(PY) -m tests.security.mutations

audit: ## known flaws of the pinned packages; needs the network
	@scripts/audit

audit-image: ## security updates of Debian that the image lacks; needs the network, and collage-worker:local
	@docker run --rm --user 0 --entrypoint sh collage-worker:local -c \
	  'apt-get -qq -o APT::Update::Error-Mode=any update && ! apt-get -qq --just-print upgrade | grep "^Inst .*-security"'

base-image: ## take over what the base image's tag is by now: docker/base-image, the digest that deployments build on
	@scripts/base_image --renew

sbom: setup ## the bill of materials (CycloneDX) of .venv; the image's own is in build/ after make image
	@$(PY) scripts/make_sbom.py

measure-sandbox: setup ## what the sandbox costs, against decoding in threads
	@$(PY) scripts/measure_sandbox.py 9
