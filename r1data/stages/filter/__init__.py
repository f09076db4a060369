"""Language consistency and readability of traces; see `stage` for the stage itself."""
