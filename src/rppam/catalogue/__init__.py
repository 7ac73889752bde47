"""Every code that the doctor and health may show, with its meaning and its fix."""
