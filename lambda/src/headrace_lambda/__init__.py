"""AWS Lambda handlers for legacy producers."""
