"""Starts the command line."""

from rppam.app.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
