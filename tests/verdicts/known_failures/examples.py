"""All test networks and sweeps, with known failures and honest."""

from tests.verdicts.known_failures.failing import FAILURES as NETWORKS
from tests.verdicts.known_failures.failing_sweeps import SWEEPS
from tests.verdicts.known_failures.honest import HONEST

FAILURES = NETWORKS + SWEEPS
EXAMPLES = FAILURES + HONEST
