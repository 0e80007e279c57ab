"""The columns of a data set, as readers return them."""

Columns = dict[str, list[object]]  # lists of equal length, by column name
