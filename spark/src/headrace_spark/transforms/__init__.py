"""The transforms of a day: pure functions of DataFrames. They read no files, no clock and no settings, and start no job."""
