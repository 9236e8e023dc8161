"""The custom resources, declared once."""
