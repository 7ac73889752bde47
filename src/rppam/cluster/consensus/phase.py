"""Where a node stands in the election."""

from enum import StrEnum


class Phase(StrEnum):
    """Where this node stands."""

    STANDBY = "standby"
    PROBING = "probing"
    """Asking the members, without obligation, whether they would vote for it."""
    LEARNING = "learning"
    """Candidate: asking the database which epochs were used."""
    ASKING = "asking"
    """Candidate: asking the members for their votes, and the store for its."""
    CLAIMING = "claiming"
    """Candidate with a majority: writing the epoch down before it acts."""
    LEADER = "leader"
    QUIESCING = "quiescing"
    """Stepped down; whatever acted is being stopped."""
