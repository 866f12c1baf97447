"""Train EfficientNet-Lite0 with Coordinate Attention; `--help` lists the flags."""

import sys

from lite0ca.__main__ import program

if __name__ == "__main__":
    program(["train", *sys.argv[1:]], prog="train_EfficientNet_Lite0_CA.py")
