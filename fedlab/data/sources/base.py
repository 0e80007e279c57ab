"""What all readers of data sets share: the columns they return. A reader is a function from a path to columns."""

Columns = dict[str, list[object]]  # by column name; all lists have the same length
