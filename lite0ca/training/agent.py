"""`torchrun` as `launch.py` starts it, with the number of that process as its first argument.

It ends with that process, and its ranks end with it.
"""

from __future__ import annotations

import os
import sys

from lite0ca.machine.signals import end_with_parent

if __name__ == "__main__":
    end_with_parent(int(sys.argv.pop(1)))
    from torch.distributed.run import main

    main([*sys.argv[1:], str(os.getpid())])
