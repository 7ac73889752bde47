"""How many examples tests draw by chance: by the profile, which ``--hypothesis-profile`` names.

Every run draws others, so that few in each run of the gate are many in a week.
"""

from typing import Final

from hypothesis import HealthCheck, settings

PROFILES: Final = {"quick": 20, "gate": 50, "thorough": 1_000}


def register_profiles() -> None:
    """Make the profiles known, and the gate's the one of a run that names none."""
    for name, number in PROFILES.items():
        settings.register_profile(
            name,
            max_examples=number,
            deadline=None,  # the machine decides how long an example takes: time is measured in benchmarks
            derandomize=False,  # it would be true where the variable CI is set
            suppress_health_check=[HealthCheck.too_slow],
        )
    settings.load_profile("gate")


def examples(per_hundred: int) -> int:
    """For a test that needs more of them than others, or fewer: ``per_hundred`` where others draw a hundred."""
    number: int = settings().max_examples
    return max(1, number * per_hundred // 100)
