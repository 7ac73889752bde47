"""What all commands share: targets, output, errors, and the table of commands."""
