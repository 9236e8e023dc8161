"""Keycloak: what is asked of its admin API, and how."""
