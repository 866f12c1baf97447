"""Any data set -> one table of photos with class, group and split."""
