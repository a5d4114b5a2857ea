"""Makes what is served agree with the registry's aliases; `step.once` is one idempotent step, and the only writer of
the routing table.
"""
