"""Ports, adapters, settings, telemetry and process lifecycle shared by the services."""
