"""Keeps role maps in force and clients in Keycloak as they are asked for."""
