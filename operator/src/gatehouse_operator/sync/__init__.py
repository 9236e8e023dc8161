"""Bringing custom resources and Keycloak together."""
