# demo, test and check are lines that also stand in the README, for those without make.
# PY may name another Python, 3.11 or newer.
PY ?= python3

.PHONY: demo test check torture gateway browser booted deb format clean

demo: .venv/.installed  ## the whole of syncd on this machine: ARGS=--once ends by itself
	.venv/bin/syncd demo $(ARGS)

test: .venv/.developing  ## the default set of tests: ARGS="-k name" chooses
	.venv/bin/pytest $(ARGS)

check: .venv/.developing  ## style, types, tests
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest $(ARGS)

torture: .venv/.developing  ## the long proof: ARGS=--ci for CI's smaller set, ARGS="--seed N" for the same run again
	.venv/bin/python tests/torture/run.py $(ARGS)

browser: .venv/.developing  ## the page in Debian's chromium; pictures in build/browser
	.venv/bin/pip install --quiet --editable '.[dev,browser]'
	.venv/bin/pytest -m browser -n 2 $(ARGS) tests/browser

deb:  ## a Debian package for this machine's Debian, in dist/
	systemd/deb/build dist

booted: .venv/.developing deb  ## that package on a real systemd, which is thrown away afterwards; as root
	tests/systemd/with-systemd -- env SYNCD_DEB=$$(ls $(CURDIR)/dist/syncd_*.deb) $(CURDIR)/.venv/bin/pytest -n0 -m booted tests/systemd/booted

gateway: .venv/.developing  ## against a real object gateway: see .ci/run for the packages it needs
	.venv/bin/pytest -m gateway -n 2 --dist worksteal $(ARGS) tests/gateway

format: .venv/.developing
	.venv/bin/ruff check --fix . ; .venv/bin/ruff format .

.venv/bin/python:
	$(PY) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	.venv/bin/pip install --quiet --editable .
	touch $@

.venv/.developing: pyproject.toml | .venv/bin/python
	.venv/bin/pip install --quiet --editable '.[dev]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv build dist
