"""The processes of one node: supervisor, fork server, shared state, control channel, crash release."""
