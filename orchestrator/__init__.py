"""The control plane: takes jobs, decides, keeps the record."""
