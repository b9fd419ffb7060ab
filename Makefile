# The two commands of a newcomer are `make demo` and `make test`; everything else is `npx tallystream --help` and `npm run`.
SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help demo test bench faults doctor mutations install clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## start everything, stream generated transactions, show what happens (DEMO_TRANSACTIONS=50000, DEMO_FRAUD=off, DEMO_ONCE=1 to end by itself)
	@exec tallystream demo

test: install ## every check: format, lint, types, boundaries, dead code, unit and integration tests on the real stack
	@exec node tests/verify.ts

bench: install ## rates, latency and memory as ratios to what anybody can run beside it (ten minutes; SCENARIOS="throughput hot")
	@exec tallystream bench $(SCENARIOS)

doctor: ## say what this machine lacks, and the command that installs it; needs nothing but Node
	@node cli/bin/tallystream.mjs doctor

faults: install ## kill, freeze, cut and restart under load, then count (SEED=1 TRANSACTIONS=20000 FAULTS=20)
	@exec tallystream faults --seed $(or $(SEED),1) --transactions $(or $(TRANSACTIONS),20000) --faults $(or $(FAULTS),20)

mutations: install ## plant each known bug in a copy of the engine; the simulation must find it (about ten minutes)
	@exec node tests/simulation/mutations/run.ts

install: node_modules/.package-lock.json ## install the packages, if they are missing or older than the lock file

# npm writes that file last. The messages of npm about install scripts are for those who change packages; errors are shown.
node_modules/.package-lock.json: package-lock.json
	@echo 'installing packages (npm ci)' >&2
	@npm ci --loglevel=error
	@touch $@

clean: ## end the local services, delete their data and the installed packages (downloads stay in the cache)
	@if [ -d node_modules/commander ]; then tallystream stack reset --yes; fi
	rm -rf node_modules .tallystream
