"""Makes what is served agree with the registry's aliases: `once` is one idempotent step of it, and the only writer
of the routing table.
"""

from tasks.serve.lock import locked
from tasks.serve.reconcile.step import Outcome, once, settle

__all__ = ["Outcome", "locked", "once", "settle"]
