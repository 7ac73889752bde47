"""A shell that outlives its gateway: the program on the target that holds it, and the gateway's end of it."""
