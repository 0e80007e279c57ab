"""One data set as a reader hands it on."""

Columns = dict[str, list[object]]  # equally long lists by column name
