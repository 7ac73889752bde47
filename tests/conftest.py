"""For all tests: what a test draws by chance is drawn anew in each run, in CI as elsewhere.

Hypothesis would repeat the same examples for ever where the variable CI is set.
"""

from hypothesis import settings

settings.load_profile("default")
