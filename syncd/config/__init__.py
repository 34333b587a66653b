"""One YAML file, read strictly: a typed tree, or every mistake at once with its line and column."""
