"""RP-PAM: a privileged-access node that stays available. Start reading at ``rppam/cluster/consensus/election.py``."""

from typing import Final

__version__: Final = "1.0.0"
