"""What an estimate can be asked for: names alone, so that the command line can offer them at no cost."""

from typing import Literal

EstimateMethod = Literal["adapter", "adapter-nocache", "full", "freeze"]
CodecName = Literal["none", "int8", "int4"]
