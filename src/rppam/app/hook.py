"""The leader's program: who calls it, in the control process."""

from typing import NamedTuple

from rppam.cluster.hook.runner import Hook, HookTask, HookWatch
from rppam.config.settings import Settings


class HookTasks(NamedTuple):
    """What a node does about the program."""

    leading: tuple[HookTask, ...] = ()
    beside: tuple[HookWatch, ...] = ()


def hook_tasks(settings: Settings) -> HookTasks:
    """Nothing where the settings name no program."""
    cluster = settings.cluster
    if cluster.leader_hook is None or not cluster.enabled:
        return HookTasks()
    told = {
        "RPPAM_NODE": settings.node.node_name,
        "RPPAM_CLUSTER": cluster.cluster_id,
        "RPPAM_VIRTUAL_IP": cluster.virtual_ip or "",
        "RPPAM_DNS_NAME": settings.dns.name or "",
    }
    hook = Hook(cluster.leader_hook, cluster.leader_hook_s, told)
    return HookTasks((HookTask(hook),), (HookWatch(hook),))
