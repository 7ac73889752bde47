"""Starts the command line."""

from rppam.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
