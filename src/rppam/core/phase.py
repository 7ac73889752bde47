"""Where a node stands in the election."""

from enum import StrEnum


class Phase(StrEnum):
    """Where this node stands."""

    STANDBY = "standby"
    LEARNING = "learning"
    """Candidate: asking the database which epochs were used."""
    ASKING = "asking"
    """Candidate: asking the store for its vote."""
    CLAIMING = "claiming"
    """Candidate with a majority: writing the epoch down before it acts."""
    LEADER = "leader"
    QUIESCING = "quiescing"
    """Stepped down; whatever acted is being stopped."""
