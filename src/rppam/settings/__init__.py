"""Settings of the whole cluster that change while it runs."""
