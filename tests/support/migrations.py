"""What alembic needs in order to read the chain of migrations."""

from alembic.config import Config

from rppam.app.slices import STEPS


def alembic_config() -> Config:
    """As ``rppam.db.schema`` makes it for an upgrade."""
    config = Config()
    config.set_main_option("script_location", str(STEPS.folders[0]))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, STEPS.folders)))
    return config
