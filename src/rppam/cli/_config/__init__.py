"""Parts of ``rppam config``."""
