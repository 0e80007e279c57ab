"""What can be reproduced: names alone, so that the command line can offer them at no cost."""

from typing import Literal

Reproducible = Literal["table1", "table2", "table3", "table4", "table5", "figure6", "figure7"]
TaskName = Literal["20news", "agnews", "semeval", "ontonotes"]
