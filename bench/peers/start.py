"""`python -m bench.peers.start MODULE ROLE`: one process of a peer.

So that a task is called the same in every process: its module is never `__main__`.
"""

import sys
from importlib import import_module

if __name__ == "__main__":
    getattr(import_module(f"bench.peers.{sys.argv[1]}"), sys.argv[2])()
