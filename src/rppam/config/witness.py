"""What a witness needs beyond the form of its config: a name of its own, Redis, and the cluster."""

from rppam.config.errors import Problem
from rppam.config.settings import Settings


def witness_problems(settings: Settings) -> tuple[Problem, ...]:
    """What keeps a witness with these settings from running.

    The default name would do for a node alone. A witness never is: its vote counts under the name, so a second one with
    the default, or one whose file lost its name, would change who votes without anybody having said so.
    """
    problems = []
    if "node.nodeName" not in settings.given:
        fix = (
            "Name it as 'rppam status' lists it, else as no other member is named, such as witness1; a witness has no "
            "default name."
        )
        problems.append(Problem("node.nodeName", "the name of this witness", "nothing", fix))
    if not settings.redis.enabled and not settings.cluster.enabled:  # else it is told as it is of a node
        fix = "Set it, with redis.connectionString: a witness shows itself in the cluster's Redis."
        problems.append(Problem("redis.enabled", "true", "false", fix))
    if not settings.cluster.enabled:
        fix = "Set it, with the cluster's cluster.clusterId: a witness is a member, and does nothing else."
        problems.append(Problem("cluster.enabled", "true", "false", fix))
    return tuple(problems)
