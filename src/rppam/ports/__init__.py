"""What the node needs from outside, as typed protocols."""
