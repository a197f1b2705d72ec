"""Raw files to tidy rows, one file a source."""
