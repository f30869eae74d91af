"""The inspection API and console."""
