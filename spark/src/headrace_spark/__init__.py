"""The batch jobs of Headrace on Spark."""
