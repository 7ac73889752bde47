"""The pure state machines that decide. No clock, no network, no chance. Start at ``election.py``.

Events and time go in, effects come out. A machine never blocks and never raises on an odd event: it ignores or refuses
it. ``now`` never goes back; its driver polls it no later than its ``deadline`` says, and carries out the effects in
order. The same machines run in the node and in the simulation.
"""
