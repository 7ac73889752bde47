"""The command line: argv into a call, a result into text and an exit code. No decisions."""
