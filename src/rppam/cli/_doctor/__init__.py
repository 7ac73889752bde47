"""The checks of ``rppam doctor``, one module for each thing that is looked at."""
