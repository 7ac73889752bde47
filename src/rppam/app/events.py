"""What the ledger records of the database's own tables."""

from typing import Final

from rppam.ledger.events import Action, Retention

ACTIONS: Final = (
    Action(
        "database.contract",
        "database",
        "An update of the tables was finished: nodes of the release before stop working",
        Retention.CLUSTER,
        "the revision",
    ),
)
