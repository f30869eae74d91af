"""Data quality of a day: what is measured, what is expected of it, and what happens where it is not met."""
